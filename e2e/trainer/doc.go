// Trainer trains a small model that is really trained, as the container of a Job on a real node or as
// a process on a test's own machine.
//
// What goes in, as environment variables:
//
//	DATA_URI       the rows: s3://bucket/prefix/, all files below it, as package logistic reads them
//	RUN_URI        where the run leaves what it makes: s3://bucket/prefix/
//	MODEL_VERSION  what the model calls itself
//	SEED           which rows are held out to measure with; 1 by default
//	AWS_…          as package bucket reads them
//
// What comes out, below RUN_URI:
//
//	model.json     the model, as e2e/modelserver serves it
//	result.json    what the run has made, as a Retraining reads it (docs/results.md): the address,
//	               digest and size of model.json, its accuracy, logloss and auc on the rows that
//	               were held out, its format, and what it was trained with
//
// The result is written last, so that what it names is there. The same rows and seed give the same
// bytes, so a run that is begun once more makes no other model. A row that is wrong, files that do not
// have the same columns, or too few rows end it with a sentence, and nothing is written. The image is
// made with
//
//	go run ./e2e/image -package ./e2e/trainer -name example.com/trainer -version v1 -o trainer.tar
package main
