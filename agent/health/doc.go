// Package health says how an object of the cluster is doing.
//
// In goes a live object as the API server gave it; out comes an [agent.Health]: one of six
// verdicts and, unless the object is healthy, a sentence that names the condition, reason
// or container at fault. Nothing is read besides the object, not even a clock, so the same
// object always gets the same verdict, and a watch event is all that is needed to give it.
//
// The verdicts follow one rule: Degraded says that waiting does not help, Progressing says
// that it may. What its controller tries again by itself, such as a pod that a webhook
// refuses while the webhook starts, is Progressing until the controller gives up.
//
// [Static] kinds have no health of their own: they are healthy once they are there. Kinds
// that report in a way of their own have a check in this package; the table in kinds.go
// names them. Everything else is judged by the kstatus conventions.
//
// A verdict is only as fresh as the status it is read from. Where a kind reports the
// generation it has seen, an older status is Progressing. Some kinds do not, or report
// another object's generation (InferenceService): right after such an object was written,
// its status may still be about the spec before.
package health
