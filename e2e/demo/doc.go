// Demo shows Sluice at work on one machine, with nothing faked that matters:
//
//	go run ./e2e/demo          runs until Ctrl-C and says what to type
//	go run ./e2e/demo -once    plays the story by itself and fails if any of it does
//
// The API server is the real one (package e2e/cluster), Git is spoken over HTTP with git's own
// server, S3 with a real object store (package e2e/objectstore), and the agent is a process of
// its own with the rights that manifests/install gives it, no more; but it may ask servers on
// loopback, where all of the demo is. What it deploys is overlays/ of this checkout, and the
// model churn from overlays/ of this directory, pushed to a repository of the demo's. Only the
// nodes are played: Pods get ready and no container runs. So the demo itself answers when a
// version of the model is put to the test, and for one version with an error; and the program that the
// container of a training would run (package e2e/trainer) is run by the demo, in a process, with
// that container's variables.
//
// What the story shows of the command line ("$ kubectl …", "$ git …", "$ sluice …") is what it
// runs, by a shell, in a clone of that repository; so all of it can be typed by a reader too.
// Waiting is done by watches. The only clock is the patience of each step, after which the demo
// fails and says what it was waiting for.
//
// Everything is kept in one temporary directory, which is removed at the end unless the demo
// failed: then the logs in it tell why. The object store's log is in a directory of its own,
// which is removed in any case. Nothing else on the machine is touched but the cache of what was
// built (control plane and object store) and the cache of the Go toolchain.
package main
