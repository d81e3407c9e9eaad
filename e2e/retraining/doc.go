// Package retraining tells the stories of retraining, end to end: a real API server with a real
// controller-manager, Gitea, an S3 server, Prometheus, and the agent as a process of its own. Jobs are run by the
// real controller; their pods are on simulated nodes, where no container ever starts, so what a container would do
// is done by a goroutine of the test, for which see trainer_test. What Argo, Trainer and the others would do is
// done by package engines, and Kubeflow Pipelines is package kfp.
//
//	house_test      the set-up: a repository on the forge with a Model, its versions and Retrainings
//	trainer_test    what the containers of Jobs do
//	story_test      from a slot to a version that serves
//	slots_test      what becomes of slots: the agent is down, a run goes on, the engine is away
//	triggers_test   data, a metric, a commit
//	engines_test    each engine, to success and to failure
//	attempts_test   timeout, retries, cancel, history
//	crash_test      the agent is killed at every step; two agents fight
//	badinput_test   specs, results and engines that are not as they should be
//	versions_test   which version of a Pipeline is run
//	rights_test     who may do what in Kubeflow Pipelines
//	pipeline_test   a Pipeline comes to Kubeflow Pipelines, and is run there
//
// All but the last share one control plane, one forge, one object store and one agent (rig.Shared). Tests that end the
// agent run by themselves, before all others; the others run side by side. What takes no clock, such as a year of
// missed slots, is with the package that decides, agent/slot.
package retraining
