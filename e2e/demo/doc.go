// Demo shows Sluice at work on one machine, with nothing faked that matters:
//
//	go run ./e2e/demo          runs until Ctrl-C and says what to type
//	go run ./e2e/demo -once    plays the story by itself and fails if any of it does
//
// The API server is the real one (package e2e/cluster), Git is spoken over HTTP with git's own
// server, and the agent is a process of its own with the rights that manifests/install gives
// it, no more. What it deploys is overlays/ of this checkout, pushed to a repository of the
// demo's. Only the nodes are played: Pods get ready and no container runs.
//
// What the story shows of the command line ("$ kubectl …", "$ git …") is what it runs, by a
// shell, in a clone of that repository; so all of it can be typed by a reader too. Waiting is
// done by watches. The only clock is the patience of each step, after which the demo fails and
// says what it was waiting for.
//
// Everything is kept in one temporary directory, which is removed at the end unless the demo
// failed: then the logs in it tell why. Nothing else on the machine is touched but the cache
// of built control planes and the cache of the Go toolchain.
package main
