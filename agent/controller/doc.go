// Package controller has the reconcilers: thin loops that read one object, call the
// pipeline, record what came of it, and say when to come again.
//
// Both kinds are woken by events: a Repository by its spec and by requests to look at once,
// an Overlay by its spec, by a new revision of its Repository, by what happens to its
// objects, by the Overlays it depends on, and by kinds and namespaces that appear. Timers
// exist for looking at remotes, for timeouts, for tries after failures, and as a net below all
// events, and for nothing else.
package controller
