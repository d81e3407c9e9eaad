// Package record keeps what happened where people and a restarted agent can find it: the
// write-ahead inventory, the status of Overlays and Repositories, Kubernetes events and
// Prometheus metrics.
//
// It is the only place that writes any of these, and it writes nothing that is already so.
package record
