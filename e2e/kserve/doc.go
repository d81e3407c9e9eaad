// Package kserve stands in for KServe, Knative Serving and a gateway, against a real API
// server: the real ones cannot be had for tests.
//
//	k := kserve.Start(t, cluster.Config(), kserve.Options{Canary: true, Gateway: true})
//
// Start installs the kinds, with the shape that KServe's releases give them, and plays their
// controllers within the test until it ends. Deployments, ReplicaSets and pods are those of the
// real controllers; no model is ever loaded.
//
// What it does follows KServe's sources and recordings of the real controller, most of all where
// they are awkward:
//
//   - nothing happens for Options.Lag after a write, and the status goes on about what was
//     before: Ready stays True;
//   - status.observedGeneration is copied from the Deployment or the Knative Service, and falls
//     back to 1 when the main predictor becomes another;
//   - Stopped is False while all is well, and a canary's transitionStatus is always empty;
//   - in Standard mode, PredictorReady is True through a rollout, and a predictor name that is
//     gone loses its Deployment at once, whether the next one is ready or not;
//   - a canary gets no replicas by its percent at 0, and takes the main predictor's;
//   - in Knative mode, the revision that got ready last has the percent, or everything;
//   - pods go when nobody asks, and the transitionStatus is InProgress ever after;
//   - an InferenceGraph is Ready as soon as its Deployment has any opinion;
//   - defaults are filled in by another field manager. KServe's webhook does it before a write is
//     answered, and here it comes just after, as a write of its own.
//
// What KServe's webhook would have refused, and cannot be refused here, fails the test; so does a
// Deployment that is taken away while it is the only one that serves.
//
// Artifacts say what becomes of them by their URI: with broken in it, the model does not load;
// with unschedulable, its pods find no node. A runtime with missing in its name is not there.
package kserve
