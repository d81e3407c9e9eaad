// Package plan decides what has to happen to the cluster, and does nothing itself.
//
// Facts go in: what Git wants (a Set), what was applied before (an Inventory), what is
// known of the live objects, and what the Overlay asks for. A Plan comes out: one Change
// for every object of either side, in the order of the work, and a Violation for every
// change that must not be made as things are. A Violation stops its object, never the rest.
//
// What a plan shows of an object is for everybody to read: values that are secret are masked in it,
// wherever they are.
//
// The package is pure. It never reads the cluster, a file or the clock, so a plan can be
// made for a pull request as well as for the real thing, and every rule in here is a row
// in a table test.
package plan
