// Package rollout is the state machine of a Promotion: from what is known of one attempt to where
// it stands next.
//
//	Verifying -> Gated -> Preparing -> Canary (step by step) -> Shifting -> Completing -> Succeeded
//	                          |            |                       |
//	                        Failed     RolledBack              RolledBack    (Superseded: at any time)
//
// What goes in is Facts: the Promotion as it is on record, what the stage asks for, what was found
// of the artifact, the findings of the gates, how what serves is, and the time. What comes out is
// the status that is to be on record next, one transition at a time, and when to look again though
// nothing happens. Everything that has to survive a restart is in that status: the same facts give
// the same transition, so none is repeated and none is skipped.
//
// An artifact that is not what it should be and a gate that is not passed are no ends: the attempt
// stays where it is, says so, and goes on when that changes. Failed and RolledBack are ends: the
// version is held until something else is asked for. A first version has nothing to go back to: it
// stays where it is until it is ready.
//
// The package does nothing and knows no clock. What the stage is to serve follows from the status
// alone; package serving says by which objects.
package rollout
