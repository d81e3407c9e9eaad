// Package result reads what a run has made: a trained model, and what was measured of it.
//
// What goes in is a [Source]: where the Retraining says that the result is found, with its texts filled in, and
// what the engine says of the run. What comes out is a [Result]: the [Document] that says what was made, and the
// artifact as it was found; or an [Error] that says in a sentence what is wrong and what to do. A Result
// becomes a ModelVersion, and [Better] compares it with the version that serves.
//
// # Documents
//
// A document is JSON or YAML, an object with the fields
//
//	model     the model that was trained; if it is given it has to be the Retraining's
//	version   its version, instead of the one of the Retraining
//	uri       where the artifact is; the only one that has to be there
//	digest    its SHA-256, as package artifact defines it
//	size      how many bytes it has
//	format    name, version
//	metrics   decimals by their names, as numbers or as texts
//	dataset   what it was trained with
//	lineage   pipeline, commit, trainedAt
//
// A field of another name is an error, for it may be a misspelt one. Numbers stay as they are written: no
// metric is rounded on its way to a gate. Numbers also do where a text is meant, such as for a version of a
// format or a commit.
//
// # What is not believed
//
// A document is written by a pipeline, and is hostile input: bounded in bytes and depth, without anchors, and what is
// repeated of it in an error is cut. What it says of the artifact is checked: it is read, and its size and
// its digest have to be what the document says. The credentials are those that the Retraining names; a
// document cannot name any.
//
// It never writes anything, never tries anything again, and never decides how long something that is missing
// is waited for.
package result
