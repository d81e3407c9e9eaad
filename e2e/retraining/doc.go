// Package retraining tells the stories of retraining, end to end: a real API server with a real
// controller-manager, Gitea, an S3 server, Prometheus, and the agent as a process of its own. Jobs are run by the
// real controller; their pods are on simulated nodes, where no container ever starts, so what a container would do
// is done by a goroutine of the test, for which see trainer_test. What Argo, Trainer and the others would do is
// done by package engines, and Kubeflow Pipelines is package kfp.
//
//	house_test      the set-up: a repository on the forge with a Model, its versions and a Retraining
//	trainer_test    what the containers of Jobs do
//	story_test      from a slot to a version that serves
//
// All share one control plane, one forge, one object store and one agent (rig.Shared). Tests that end the agent
// run by themselves, before all others; the others run side by side.
package retraining
