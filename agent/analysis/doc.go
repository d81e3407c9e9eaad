// Package analysis adds up samples of a measurement.
//
// In goes what the analysis asks for, how far it is, and a sample that somebody has taken; out
// comes how far it is then: running, passed or failed, with a sentence that has the value and what
// it had to be. [Due] says when the next sample is to be taken.
//
// Values are compared exactly. One that is no number, not finite, or that could not be had at all
// is an error in measuring, and not a failure of what is measured; too many in a row end the
// analysis all the same. What has passed is looked at on and may still fail; what has failed has
// failed for good.
//
// It measures nothing and asks for no time.
package analysis
