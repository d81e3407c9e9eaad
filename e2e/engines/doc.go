// Package engines stands in for the engines that run trainings as objects of a cluster, against a real API
// server: Argo Workflows, Kubeflow Trainer, the training-operator, Katib, and one of the tests' own.
//
//	c, err := cluster.Start(ctx, cluster.Options{})
//	err = engines.Start(ctx, c)
//
// Start makes their kinds, with the shapes and rules that their releases give them, and has kwok walk their
// objects through the phases that the real controllers were recorded to write (testdata): what is written
// first, what stays empty, and how a failure is told. Define makes the kinds alone, for tests in which
// objects stay as they were created. Jobs need none of this: the control plane has the real controller.
//
// An object does as its annotations say, as pods do on simulated nodes:
//
//	fake.sluice.dev/run: Fail               fails, at the step of the next line
//	fake.sluice.dev/step: evaluate          of a Workflow; the first container otherwise
//	fake.sluice.dev/run: Run                never ends
//	fake.sluice.dev/start-after: 2s         is taken up later
//	fake.sluice.dev/complete-after: 2s      ends later
//	fake.sluice.dev/outputs: '{"auc": "…"}' of a Workflow, the parameters that its step gives; else metrics
//
// A Workflow may say fate in a parameter of that name instead, so that a run can be told by what starts it.
// Templates and runtimes with missing in their names are not there: of the first a Workflow says so, of
// the second Trainer says nothing at all. What is terminated, suspended or out of time ends as it really does.
//
// What is not there: pods, webhooks, defaults that webhooks fill in, logs, and everything that depends on what
// a template says. A Workflow has one step.
package engines
