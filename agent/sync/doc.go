// Package sync is the straight line from a commit to the state of a cluster, for one Overlay:
//
//	render -> gather -> plan -> record intent -> apply -> health -> prune -> record outcome
//
// A Pass walks the line once, as far as it leads now, and never waits: it is started again
// by the watches when something it waits for has happened. A pass that finds nothing to do
// reads nothing from the cluster and writes nothing.
//
// What a Syncer keeps in memory (the last rendered set, who looked at which revision, how
// often drift was corrected) only saves work. Everything that must survive a crash is in the
// Inventory and in the objects themselves.
package sync
