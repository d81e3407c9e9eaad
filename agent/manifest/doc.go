// Package manifest turns a rendered object into what is applied: with the ownership labels,
// without what belongs to the API server or to controllers, in one canonical form, with the
// wishes of its annotations read.
//
// Objects as Kustomize gives them go in, agent.Objects come out. The package is pure; it
// never talks to a cluster and never changes what it was given.
package manifest
