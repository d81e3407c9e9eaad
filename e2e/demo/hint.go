package main

import (
	"fmt"
	"os/exec"
)

// hint says what to type next.
func (d *demo) hint() {
	clone := "git clone -q " + d.repo.URL + " && cd platform"
	if exec.Command("git", "config", "user.email").Run() != nil { // git would not commit
		clone = "git clone -q -c user.name=Ana -c user.email=ana@example.com " + d.repo.URL + " && cd platform"
	}
	fmt.Printf(`
It is yours now. In another terminal:

   # kubectl and sluice of this demo
   export PATH=%s:$PATH KUBECONFIG=%s
   sluice get overlays -n %s --watch

   # what would the agent do now? (its Git server here speaks http, which is not taken for granted)
   sluice plan %s -n %s --allow-insecure-git

   # change something in Git; see what it would do before it is committed
   %s
   %s
   sluice plan ./overlays/models/fraud/production -n %s
   %s

   # change something behind its back, and see it put back
   %s
   kubectl -n %s get events

   # break something, and mend it
   %s
   %s
   %s

   # promote a model: to staging; and to production, when the agent proposes that some seconds later
   %s
   %s
   %s --watch
   %s
   %s

   # do the same with %s, which fails in production and is turned back
   %s
   %s
   %s
   %s
   %s

   # train it again; what is better is proposed for staging, which the same rows give once
   %s
   %s

The agent's log is %s, the control plane's are in %s/logs.
What the agent does is told below. Ctrl-C ends everything and removes it.

`, d.bin, d.cluster.Kubeconfig, namespace, production, namespace, clone, editThreshold, namespace, commitThreshold, scaleByHand, namespace,
		breakProduction, commitBroken, revert,
		editStaging(goodVersion), commitStaging(goodVersion), getModels, look(promotionBranch(goodVersion)), merge(promotionBranch(goodVersion)),
		badVersion, editStaging(badVersion), commitStaging(badVersion), "git fetch -q && "+merge(promotionBranch(badVersion)), askWhy, "git fetch -q && "+merge(revertBranch(badVersion)),
		trainNow, "git fetch -q && "+mergeTrained,
		d.agentLog(), d.cluster.Dir)
}
