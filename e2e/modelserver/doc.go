// Modelserver serves a small model that really is loaded from its artifact, as a container on a
// real node or as a process on a test's own machine.
//
// What goes in, as environment variables:
//
//	MODEL_URI    the artifact: s3://bucket/prefix/ or file:///path/, in which model.json is, or
//	             the address of that file itself
//	MODEL_DIGEST of the artifact, as ModelVersions have it: sha256:…; what has another one is not
//	             served. Without it, whatever is there is
//	MODEL_NAME   what the model is called in requests; model by default
//	ADDRESS      to listen on; :8080 by default
//	DRAIN        how long it goes on serving after SIGTERM; 5s by default
//	AWS_…        for s3, as package bucket reads them
//
// model.json is a linear model, or with the link logistic, as e2e/trainer writes it, one that
// answers with probabilities. It can have a share of the requests fail, which is how a version
// becomes a bad one:
//
//	{"version": "v7", "weights": [0.5, 2], "bias": 1, "link": "logistic", "errorRate": 0.3}
//
// What comes out:
//
//	/v1/models/NAME:predict   POST {"instances": [[1, 2]]} gives {"version": "v7", "predictions": [5.5]};
//	                          GET predicts one instance of zeros
//	/healthz                  200 once the model is loaded, also while it drains
//	/metrics                  http_requests_total by model, version and code, and
//	                          http_request_duration_seconds; of predictions only
//
// It ends at once, with a sentence, when the artifact cannot be loaded. On SIGTERM it goes on as
// before for the time of DRAIN, and asks clients to come over another connection the next time:
// so a Pod is left by its clients before it stops listening, and no request fails. The image is
// made with
//
//	go run ./e2e/image -package ./e2e/modelserver -name example.com/modelserver -version v1 -o modelserver.tar
package main
