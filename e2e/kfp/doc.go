// Package kfp is a stand-in for the API server of Kubeflow Pipelines on loopback, for tests and demos:
// an HTTP server written from its REST API v2beta1, with its quirks and without its engine.
//
//	s, err := kfp.Start(kfp.Options{MultiUser: true})
//	defer s.Stop()
//	// ask s.URL as a client does, with kfp.Token("system:serviceaccount:fraud:trainer")
//	s.Run(id).Go()                              // or Pause, Succeed, Fail("train", "out of memory"), Stopped
//	s.Misbehave(kfp.Only("POST", "/runs", kfp.First(1, kfp.Lost())))
//
// # What is as in Kubeflow Pipelines 2.14 to 2.17
//
// Runs are not idempotent: two that are created with the same name are two. Times are whole seconds, so
// that two runs can be of the same age, and a run that goes on has finished 1970. A list takes a filter
// (JSON, escaped once more than the query is), compares names without regard to case as MySQL does,
// has at most 200 items a page, and refuses a page token of another filter. Fields that are not known are refused
// in bodies. An answer with an error is grpc-gateway's {"code", "message", "details"}, with "error" as
// older ones have it; uploads have {"error_message", "error_details"} instead. An upload that the
// account has no right to is answered 400 with no reason, and a run of a deleted version 500 with a
// reason that only the message tells. Names of pipelines, versions and experiments exist once, and one
// more is answered 409. In multi-user mode a run needs an experiment, and a request a token; without it
// there is one default experiment, and nobody is asked who they are. A run that is terminated is
// CANCELING until its pods have ended and is then FAILED, as the workflow below it is. Terminating a
// run that is over is answered 400. Tasks have neither outputs nor messages nor names of pods. Parameters are
// checked when a run is created.
//
// # What is not
//
// There is no engine: a run goes on when the test says so, or by the clock of Options.Walk. A token is
// JWT-shaped, and its audience and expiry are looked at, but it is not signed: whoever can write one is
// who they say. Who may do what is a function of the test, where Kubeflow Pipelines asks Kubernetes. The
// header kubeflow-userid is refused as the mesh of the distribution does it, before the server. A pipeline
// is a YAML document with the fields that are looked at, and is never compiled. Package URLs are refused
// as private addresses are. Filters know EQUALS, NOT_EQUALS, IN and IS_SUBSTRING over texts, and lists are
// sorted by creation. Recurring runs, tags, updates, retries, artifacts and the older API are missing.
//
// # Kubernetes-native mode
//
// CRDs are the kinds Pipeline and PipelineVersion of pipelines.kubeflow.org/v2beta1, written from what
// is known of them. That a spec does not change but for displayName is a rule of the schema here, where
// Kubeflow Pipelines has a webhook for it; the labels and the owner that its webhook adds are missing.
//
// With Options.Native, the test says which there are. As in Kubeflow Pipelines a version then has the name of
// its object, and lists are filtered by a part of a name only. A Pipeline without versions is not seen, and
// what is uploaded does not become an object.
package kfp
