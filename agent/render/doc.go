// Package render turns the files of a Tree into the Set of objects that an overlay wants.
//
// Build runs Kustomize, over the tree itself and nothing else: there is no checkout, no
// network, no plugin and no command that it could start. What would need one is refused
// before Kustomize sees it, with the file and the entry named.
//
// The agent does not call Build itself. Kustomize keeps global state, cannot be cancelled and
// can be made to use any amount of memory by what is in Git. So a Pool runs worker processes
// of the same program, one render at a time each, and ends those that overrun their limits;
// Serve is the loop of such a worker.
//
// A Result carries the Trace of what was read: while it holds, nothing has to be rendered
// again. An overlay that lists bases divides into Parts, each with a trace of its own: Divide
// finds them, Join puts their sets together, Tie merges those that a whole build shows to have
// to do with each other, and Follow takes the step to the next revision.
package render
