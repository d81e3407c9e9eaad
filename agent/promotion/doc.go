// Package promotion is the straight line from a version that a stage of a Model names to that
// version serving there:
//
//	versions -> Promotion -> artifact -> gates -> serve -> observe -> record
//
// A Pass walks it once for all stages of a Model, one transition of each stage's newest Promotion
// at a time (package rollout decides which), and never waits: watches start the next one when
// something that is waited for has happened, and the Report says when time alone makes a
// difference. A pass that finds nothing to do reads nothing from the cluster and writes nothing.
//
// What a stage has to serve follows from its newest Promotion alone. So the order is always:
// decide, put it on record, make it so. A crash in between makes it so after the restart.
//
// The objects that serve are planned, applied and kept as those of Overlays are, with the Model as
// their owner: written ahead in an Inventory, drift corrected, pruned when nothing wants them.
package promotion
