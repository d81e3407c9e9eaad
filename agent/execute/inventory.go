package execute

import (
	"cmp"

	"github.com/sluice-dev/sluice/agent"
)

// Intend announces in an inventory what a plan is about to apply: the digest of what was
// applied before is taken off first, for after a crash nobody could tell which of the two is
// in the cluster.
func Intend(inventory agent.Inventory, p agent.Plan) agent.Inventory {
	next := inventory.Clone()
	for _, c := range p.Changes {
		switch c.Verb {
		case agent.Create, agent.Update, agent.Replace:
			entry := next[c.Ref]
			if entry.Digest != c.Object.Digest || entry.Version == "" {
				next[c.Ref] = agent.Entry{Version: cmp.Or(entry.Version, c.Object.Version), Fields: entry.Fields}
			}
		}
	}
	return next
}

// Recorded returns the inventory after a run.
func Recorded(inventory agent.Inventory, run agent.Run) agent.Inventory {
	next := inventory.Clone()
	for _, o := range run.Outcomes {
		switch {
		case o.Result != agent.Done:
		case o.Verb == agent.Forget:
			delete(next, o.Ref)
		case o.Verb != agent.Delete:
			next[o.Ref] = agent.Entry{Version: o.Version, Digest: o.Digest, Fields: o.Live.Fields}
		}
	}
	return next
}
