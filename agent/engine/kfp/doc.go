// Package kfp delivers pipelines to Kubeflow Pipelines and runs them there, over its REST API v2beta1 or,
// where it keeps pipelines as objects of Kubernetes, by those.
//
// What goes in: a compiled pipeline (IR YAML), where it is to go, and a Request: which version is to be
// run under which name and with which parameters. What comes out: a Version that is named by its content, and
// the State of a run. What it never does: remember anything between two calls, wait, try a call again, run
// what has no name, send a token anywhere but to the server it was made for, or say one in an error.
//
// # One run for each name
//
// Kubeflow Pipelines makes a run each time it is asked to. So Submit looks for a run of the name first and
// again after it has made one, and when an answer is lost. If there are several of a name, one counts: the
// oldest, and of those of the same second the one whose id comes first. Everybody who looks at the list
// comes to the same, whoever made which. The others are terminated, and the State says so in a sentence. A
// run can also turn up after all that, when the server was slow to make it; so State looks for others of
// the name once more while a run is pending, and when it has ended. Between the two it is one request.
//
// # What a state means
//
// PENDING is Pending. RUNNING, PAUSED and CANCELING are Running: a run that is terminated is CANCELING
// until its pods have ended, and even then may end well or not. SUCCEEDED is Succeeded, SKIPPED is Skipped,
// CANCELED is Canceled. FAILED is Failed, unless the run was being canceled before: Kubeflow Pipelines says
// FAILED of most runs that were terminated. Its history does not always tell; who has canceled a run knows
// it better, and says so in Ref.
//
// # Errors
//
// All are an *Error with one sentence that says what to do. Temporary tells those apart that may pass by
// themselves: the server cannot be reached, is overloaded or broken, or the token is not renewed yet. The
// same failure has the same words. What ends an attempt has to be said by Kubeflow Pipelines itself, and not by a
// proxy before it. A run that was started may be gone (Forgotten): the server was installed again, or
// somebody deleted it.
//
// # Results
//
// None comes from here. Outputs of tasks are reported empty (kubeflow/pipelines#9858), and the endpoint that
// reads artifacts refuses those of v2 runs: the last step writes its result to an object store.
package kfp
