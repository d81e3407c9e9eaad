// Package agent holds the nouns of Sluice and their contracts.
//
// Everything the agent does is a straight line through these values:
//
//	fetch -> Tree -> render -> Set -> plan -> record intent -> apply -> health -> record outcome
//
// A [Revision] names a commit. A [Tree] is the files of that commit. A [Set] is the
// objects those files render to. A [Plan] is the list of [Change]s between a Set and the
// cluster, and an [Inventory] remembers what was applied. Carrying out a Plan gives a
// [Run]: one [Outcome] for every Change, also for those that were not reached.
//
// The values are plain: they are never mutated once they were returned, they hold no
// clients and no clocks, and they explain themselves through String.
//
// This package imports nothing else of Sluice.
package agent
