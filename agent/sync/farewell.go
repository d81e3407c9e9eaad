package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/execute"
	"github.com/sluice-dev/sluice/agent/plan"
)

// Farewell does with the objects of a deleted Overlay what its deletionPolicy says, as far as
// it leads now. It is done when nothing is left on record; until then, the error says what it
// waits for. When the Overlay's namespace is being deleted as a whole, what is in there goes
// without it: its account may have lost all rights there already.
func (s *Syncer) Farewell(ctx context.Context, o *v1alpha1.Overlay, withNamespace bool) error {
	owner := OwnerOf(o)
	m := s.memory(owner)
	session, err := s.session(o, m)
	if err != nil {
		return err
	}
	inventory, err := s.Inventories.Load(ctx, owner)
	if err != nil {
		return err
	}
	if withNamespace {
		maps.DeleteFunc(inventory, func(ref agent.Ref, _ agent.Entry) bool { return ref.Namespace == o.Namespace })
	}
	s.release(m)
	limits := s.limits(o)
	facts := execute.Gather(ctx, session, s.Inventories, plan.Facts{
		Owner: owner, Inventory: inventory, Prune: deletes(o), Farewell: true,
		Revision:   lastRevision(o),
		AllowPrune: o.Annotations[v1alpha1.AllowPruneAnnotation],
	}, limits)
	if !deletes(o) {
		// What the account may not even look at stays, and with it labels that name an Overlay
		// which is gone; they bind nobody.
		maps.DeleteFunc(facts.Inventory, func(ref agent.Ref, _ agent.Entry) bool {
			return cluster.ClassOf(facts.Unknown[ref]) == agent.Forbidden
		})
	}
	facts.Claims = s.claims(ctx, o, "", nil)
	p := plan.Make(facts)
	run := execute.Prune(ctx, session, p, limits)
	if !deletes(o) {
		run = disown(ctx, session, facts, run)
	}
	left := s.releasing(execute.Recorded(inventory, run), p)
	if err := s.Inventories.Save(ctx, owner, left); err != nil {
		return err
	}
	if len(left) > 0 {
		return errors.New(whatIsLeft(p, run, left))
	}
	s.Forget(owner)
	return nil
}

// lastRevision is the one that the annotation sluice.dev/allow-prune has to name.
func lastRevision(o *v1alpha1.Overlay) agent.Revision {
	return agent.ParseRevision(cmp.Or(o.Status.AttemptedRevision, o.Status.Revision))
}

// deletes tells whether the objects go with the Overlay. Those of a suspended one stay: suspend
// promises that nothing is done to them.
func deletes(o *v1alpha1.Overlay) bool {
	if o.Spec.Suspend {
		return false
	}
	switch o.Spec.DeletionPolicy {
	case v1alpha1.DeletionOrphan:
		return false
	case v1alpha1.DeletionDelete:
		return true
	}
	return o.PruneEnabled()
}

// disown takes the ownership labels off the objects that stay.
func disown(ctx context.Context, session *cluster.Session, facts plan.Facts, run agent.Run) agent.Run {
	for n, done := range run.Outcomes {
		live := facts.Live[done.Ref]
		if done.Verb != agent.Forget || live.Owner != facts.Owner {
			continue
		}
		err := session.Disown(ctx, done.Ref, facts.Inventory[done.Ref].Version, live.UID)
		if cluster.ClassOf(err) == agent.Forbidden {
			continue // then the labels stay: they name an Overlay that is gone, which binds nobody
		}
		if err != nil {
			run.Outcomes[n].Result, run.Outcomes[n].Class, run.Outcomes[n].Message = agent.Failed, cluster.ClassOf(err), err.Error()
		}
	}
	return run
}

func whatIsLeft(p agent.Plan, run agent.Run, left agent.Inventory) string {
	var lines []string
	for _, v := range p.Violations {
		lines = append(lines, v.String())
	}
	for _, o := range run.Failures() {
		lines = append(lines, o.Ref.String()+": "+o.Message)
	}
	if len(lines) == 0 {
		for _, ref := range left.Refs() {
			lines = append(lines, ref.String()+" is being deleted")
		}
	}
	return fmt.Sprintf("%s left: %s; to let them be, set spec.deletionPolicy: Orphan or suspend the Overlay", are(len(left)), abridge(lines))
}
