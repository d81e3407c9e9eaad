// Package pipelines runs pipelines of Kubeflow Pipelines for retrainings.
//
// What goes in is an [engine.Run] whose template names a pipeline; what comes out is what every engine gives
// ([Engine]). It says in the words of engines what [kfp.Client] finds out. It keeps nothing of a run.
//
// # Which pipeline
//
// A template may name a Pipeline of its namespace. [Resolved] says what that is in Kubeflow Pipelines, and
// [Pinned] which version of it answers the present spec. Both look at nothing but what they are given, so
// that a run goes on as it began though the Pipeline is changed or deleted.
//
// # Whose right
//
// [Servers] gives out clients of servers, each in the name of an account. A token is made of the account for
// the audience of Kubeflow Pipelines and nothing else, is kept in memory for most of its life ([Tokens]), and
// goes to the address that the run names. Without an account there is no token: such a server is for a
// single user, or refuses. The agent's own token goes nowhere: addresses come from Git.
package pipelines
