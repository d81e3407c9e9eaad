// Package cluster runs real Kubernetes control planes for tests and demos, and counts what
// was asked of them.
//
//	c, err := cluster.Start(ctx, cluster.Options{})
//	defer c.Stop()
//	client, err := kubernetes.NewForConfig(c.Config())
//
// Start builds the binary in e2e/controlplane when it is not in the cache ($SLUICE_CACHE, or
// sluice in the user's cache directory), which takes some eight minutes the first time and
// seconds after a change, and starts it, which takes about three seconds. Any number of
// clusters run side by side. Each ends with Stop, or with the process that started it,
// however that dies. Nothing is installed and no other machine is reached.
//
// The API server, the controllers and the scheduler are the real ones. Nodes are played by
// kwok: pods get ready, Jobs complete, claims bind, no container runs. See the command's own
// documentation for the annotations by which a pod can be made to crash, fail or take its
// time, and Simulate for standing in for the controllers of custom resources.
//
// # Counting requests
//
// Sluice promises that nothing changed means no writes, no dry-runs, no lists. Requests
// lets a test hold it to that:
//
//	before, err := c.Requests(ctx)
//	…
//	after, err := c.Requests(ctx)
//	got := after.Since(before).By("sluice/").Writes()
//
// The API server's own counters (apiserver_request_total) cannot answer: they do not say who
// asked, and the control plane's parts ask all the time. So the count is taken from the audit
// log, which holds every request with its user and user agent. It is exact:
//
//   - the line of a request is in the file before the request is handled (audit-log-mode
//     blocking, stage RequestReceived), so whoever has had an answer finds it counted;
//   - Requests waits for those under way to complete, so that each has its status code
//     (watches and other streams excepted, they count when they begin);
//   - the order never changes: a later snapshot begins with the earlier one.
//
// The control plane's own parts are left out by the audit policy. TestRequests compares the
// result with the API server's counters.
package cluster
