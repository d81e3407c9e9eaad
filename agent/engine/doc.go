// Package engine starts the runs of retrainings, says how far they are, and stops them.
//
// What goes in is a [Run]: an attempt that is on record, with a template whose texts are filled in. What comes
// out is the id that the engine knows it by, and a [State]. Each way to run something is an [Engine]; this
// package has the one for all that are objects of a cluster, [Objects]: Workflows of Argo, TrainJobs, the jobs of the
// training-operator, Experiments of Katib, Jobs, and any other namespaced object with expressions that say what has
// become of it. It remembers nothing, waits for nothing and tries nothing again: who calls it has the record and
// the clock.
//
// # One run for each attempt
//
// The object has the attempt's name, and is looked up before it is created. A create that finds the name taken
// looks again: an object that the RetrainingRun owns, by its UID, is the run, whoever has made it; any other is somebody
// else's, and the error says whose. So a crash between the create and the record, a lost answer and a second replica
// all come to the same object. Once the id is on record nothing is created any more: an object that is gone is
// [Forgotten], for whether it was done cannot be told, and to run it again would be a second run. The object
// goes with its RetrainingRun.
//
// # What is created
//
// Specs are handed on as they are. The agent adds its labels and the owner, and nothing inside the spec: what asks
// for GPUs, queues, nodes and accounts is the template's. A field that the kind does not have is refused by the API
// server, for to drop it would run something else than Git says. A template cannot reach out of the namespace: kinds
// that are not in namespaces, names and namespaces of its own, and labels of the agent are refused before
// anything is created. What the account may do is for the API server to say.
//
// # What a status says
//
//	kind         over when                          outputs                         step that failed
//	Workflow     phase Succeeded, Failed, Error     parameters, as name and as      the node that is blamed
//	             (Canceled: spec.shutdown is set)   step.name
//	TrainJob     condition Complete, Failed         metrics that Trainer reports    the first Job that failed
//	PyTorchJob…  condition Succeeded, Failed        none                            the first replica that failed
//	Experiment   condition Succeeded, Failed        parameters and metrics of the   the first trial that failed
//	                                                best trial, and trial
//	Job          condition Complete, Failed         none                            the indexes that failed
//	any object   its expressions                    its expressions                 none
//
// A TrainJob without a condition runs if one of its Jobs does. One without any status has not been taken up, which
// lasts for ever where its runtime is missing; so Start looks for the runtime, and who keeps the record needs
// a time after which what is Pending has failed. What is suspended is Pending: a queue does that. A condition
// that is False, or that an earlier generation left, is none; only an end stays an end.
//
// Everything that an engine writes is hostile input: read by the types it should have, cut, stripped of
// credentials in URLs, and bounded. An expression is bounded in length, depth and cost.
//
// # How a run is stopped
//
// A Workflow is terminated; its record stays. Everything else is deleted, in the foreground, so that it is there until
// its pods have ended. To suspend it would end the pods as well, and leave an object that Kueue, or
// anybody, can have go on behind the record's back. So the record says that a run is to be canceled before
// Cancel is called; State knows by it that what is gone was stopped, and not lost.
package engine
