// Package retrain is the straight line from a time, or from a trigger, to a new version of a model in Git:
//
//	facts -> decide (package slot) -> RetrainingRuns -> engine -> result -> proposal -> record
//
// A Pass walks it once for one Retraining and waits for nothing but the API server: what takes long (an engine, an
// object store, Git) is done in the background, and whoever waits for it is woken. A kind that is watched for the
// first time has ten seconds to answer. The Report says when time alone makes a difference. A pass that finds
// nothing to do asks nobody and writes nothing.
//
// # One run for each slot
//
// The order is always: decide, put it on record, do it. A RetrainingRun is made before the status says that it
// goes on, and begins only when that is written; an attempt is on record before its engine is asked to
// start it, and why it is to be stopped before the engine is asked to do that. Each name follows from the
// one before it, so that a crash at any point, or another replica, comes to the same run.
//
// # What becomes of a run
//
//	Pending     it waits for its engine to be reached, then for the engine to begin
//	Running     the engine says so
//	Backoff     an attempt has failed, the next one waits
//	Collecting  the engine is done, and the result is read
//	Proposing   the result is brought to Git
//	Succeeded, Failed, Canceled, Skipped
//
// What a run needs of its Retraining is in its spec from the beginning: a commit that comes later changes only
// the runs that begin later. Timeout, retries and account are the Retraining's as they are now.
package retrain
