// Package execute is what every plan has in common, whoever it is for: the facts of the cluster
// that it is made from (Gather), what goes on record before it (Intend), its being carried out
// (Apply, Prune), and what goes on record after it (Recorded).
//
// It decides nothing: every write it makes is a change of the plan, in the order of the waves.
//
// It never waits. What cannot be reached yet, because a CRD is not established or an object
// is still going away, is reported as not reached; the watches wake the owner when that
// changes, and the next pass plans what is left. So a pass holds no worker, and a newer
// commit is picked up between two passes.
package execute
