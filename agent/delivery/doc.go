// Package delivery brings the compiled pipelines of Pipelines to Kubeflow Pipelines.
//
// What goes in is a Pipeline and the time; what comes out is a [Report]: what is to be on record, and when to
// look again. The package is read from a ConfigMap, as the account of the Pipeline sees it, and followed from
// then on. It becomes a version that is named by its content, so that to deliver it again makes nothing new,
// whoever does it. Then old versions are deleted but for those that are kept and those that runs have.
//
// Everything that asks a server is done in the background. Once a version is there nobody is asked any more
// until the Pipeline, its ConfigMap or a request changes, or an hour is over.
//
// It deletes no pipeline: what a deleted Pipeline had delivered stays where it is, for its runs are of it.
package delivery
