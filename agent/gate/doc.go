// Package gate says whether a version of a model may serve in a stage.
//
// In goes the list of gates, the [Evidence] (what is known of the version, of the one that serves,
// of the other stages, of the commit and of measurements) and the time; out comes a finding for
// each gate, in the same order, with a sentence that answers by itself why the version is not
// there yet, and the soonest time at which one that waits may change.
//
// What is not known counts against the version: a metric that is missing, that is no number or is
// not finite makes its gate fail. Gates come from Git and may hold anything; one that cannot be
// understood fails with a sentence that says what to write, and [Validate] says the same before
// there is any evidence.
//
// It only judges: it measures nothing, reads no keys and asks for no time.
package gate
