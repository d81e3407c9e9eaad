// Package cluster is the effect on and the view of one Kubernetes cluster.
//
// A Cluster gives out Sessions, one for each account in whose name work is done. A Session
// knows kinds, applies and deletes single objects, and keeps a small fact (agent.Live) of
// every owned object up to date by watches that ask only for objects with the ownership
// label: metadata alone for kinds that have no health of their own, and otherwise objects
// that are turned into a health verdict on arrival and dropped. Of the ConfigMaps and Secrets
// that somebody follows it keeps the data.
//
// How drift is seen from metadata alone: the API server keeps, in managedFields, which
// manager owns which field. When somebody changes or removes a field that Sluice owns, the
// field leaves Sluice's own entry. So a digest over that entry, taken when an object was
// applied, matches the live one exactly as long as nobody touched what Git says, however
// often controllers write status or fields of their own.
//
// The package never decides anything: what to apply is in the Plan. Every error it returns
// is an *Error with a class and a sentence that says what to do; no Secret's value is in it.
package cluster
