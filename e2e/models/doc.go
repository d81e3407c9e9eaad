// Package models tells the story of models, end to end: a real API server with a real
// controller-manager, Git over HTTP, an S3 server, Prometheus, and the agent as a process of its
// own. Pods run on simulated nodes: they become ready, and serve nothing. What containers really
// answer is for package node.
//
//	house_test      the set-up: a repository with a Model and its versions, and what can be done to it
//	story_test      the life of a model, from its first version to a canary that fails
//	deployment_test Models that are served by a Deployment
//	crash_test      the agent is killed at every state of a promotion
//	commits_test    commits that overtake each other, and what holds a version up: stages, gates, people
//	fault_test      servers that are down, slow or silent, and what is deleted by hand
//	trail_test      what tests see of promotions while they are under way
//	badinput_test   specs, artifacts and servers that are not as they should be
//	docs_test       what the documentation shows, of models and of retraining
package models
