// Package fill fills in the templates of a run: texts such as
//
//	s3://data/{{ .Slot.Format "2006/01/02" }}/{{ .Data.Fingerprint }}
//
// In goes a text, or a JSON document of which all strings may be templates; out comes a [Template]
// or a [Document], or an error that says where and what is wrong: names that do not exist are found
// when it is read. In go the [Values] of a run; out comes the text, or the document. Of a document
// nothing changes but strings with {{ in them: numbers, keys, their order and all white space stay.
//
// There are:
//
//	.Slot         the time that the run is for, in the zone of the Retraining
//	.Run          the name of the RetrainingRun
//	.Attempt      1, 2, …
//	.LastSuccess  the time of the last run that succeeded; empty if there was none
//	.Model        the name of the model
//	.Version      the version that serves in a stage: .Version "production"
//	.Data         .Data.Fingerprint, .Data.Count and .Data.Newest of the data trigger; with .Data
//	              tells whether there is one
//	.Revision     the revision of Git
//
// Times have .Format with a layout of Go, .UTC, .Add with a duration ("-24h"), .Unix and .IsZero. Of
// the functions of Go's templates there are and, or, not, eq, ne, lt, le, gt, ge, len, index, slice,
// print and printf; there are if, else, with, and variables.
//
// A template is hostile input. There are no loops and no templates that call templates, so that the
// time it takes follows from its length, which is bounded, as is the length of every text on the
// way. It reads nothing but the values it is given.
package fill
