// Package serving turns what is to serve in a stage into the objects that make it so, and
// what the cluster shows of them into how it is.
//
// In goes a [Want]: the version that has the traffic, the candidate with its percent, the
// former versions that still drain. [Objects] gives the manifests for exactly that, to be
// applied by server-side apply; what was applied before and is not among them is to be deleted
// afterwards. [Observe] reads the live objects, those that [Reads] names,
// and says of each version whether it is ready: its own artifact loaded, its own pods
// available, whatever an older status still claims. Nothing here asks a cluster, a clock or
// a file.
//
// # What the cluster can do
//
// [AbilitiesOf] tells from the cluster's kinds, from the definition of InferenceServices and
// from KServe's settings how traffic can be shared; [Means] says it in a sentence.
//
//	KServe, Knative mode     one InferenceService MODEL; the percent is canaryTrafficPercent
//	KServe, Standard mode    one InferenceService MODEL; the candidate is in spec.canary,
//	  from 0.20              where KServe routes through the Gateway API
//	KServe, Standard mode    one InferenceService MODEL-VERSION for each version, behind an
//	  otherwise              HTTPRoute (a gateway is named), an InferenceGraph, or a Service
//	Deployment               Deployment and Service MODEL-VERSION for each version, behind an
//	                         HTTPRoute (a gateway is named) or a Service
//
// Behind a Service alone a version gets all traffic at once: below 100 percent the stable one
// keeps it. [Splits] tells this apart.
//
// Clients inside the cluster have one name in every layout, http://MODEL.NAMESPACE.svc. It is
// a Service of ours that follows the version with all the traffic; KServe makes it itself in
// Knative mode (an alias of its gateway, where Istio is used; http://MODEL-predictor.NAMESPACE.svc
// works with every network layer) and for an InferenceGraph. Traffic that is shared by an
// HTTPRoute is shared for those who come through the gateway; those inside change over as a
// whole when the candidate has 100 percent. Through an InferenceGraph, models are asked at the
// root of the URL, not at their predict path.
//
// # The order of a promotion
//
//	{Stable: v7}                              what was
//	{Stable: v7, Candidate: v8, Traffic: 0}   until the candidate is ready
//	{Stable: v7, Candidate: v8, Traffic: 10}  and so on; 0 at any time gives it all back
//	{Stable: v7, Candidate: v8, Traffic: 100} until the candidate is ready with all its replicas
//	{Stable: v8, Retiring: [v7]}              while v7 drains
//	{Stable: v8}
//
// The first version has no Stable beside it: {Candidate: v7, Traffic: 0}, then 100.
//
// Not every layout can go from every state to every other without an outage, for instance
// when somebody has deleted an InferenceService in the middle of a canary, or has turned back
// a candidate in Knative mode and wants to be rid of it. [Next] knows, from what is there, what
// to apply now on the way. Objects(Next(want)) is always safe; when Next returns what it was
// given, that is the end of the way.
//
// # Statuses that lie
//
// A Readiness is Failed when waiting does not help. KServe's InvalidSpec says nothing of the
// spec that it is about, so it may be left from the spec before until KServe has looked again:
// believe a Failed when it still stands [Settle] after the write.
package serving
