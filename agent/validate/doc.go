// Package validate checks the files of a repository as the agent would read them, without a
// cluster.
//
// What goes in: the files, where in them to look, and a way to render. What comes out: a
// [Report] with a [Finding] for everything that is wrong, at the line where it is written. It
// finds the kustomizations that no other one names and the Overlays and Repositories that are
// declared, renders them, and holds the objects against the types of Kubernetes, the CRDs that
// were rendered and Sluice's own.
//
// It never writes and never asks a cluster: what only a cluster knows (the CEL rules of CRDs,
// variables from its ConfigMaps, kinds that nothing here defines) is left to it.
package validate
