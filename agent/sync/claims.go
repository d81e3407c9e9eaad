package sync

import (
	"context"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// claims answers plan.Claims for one Overlay at one revision.
type claims struct {
	syncer     *Syncer
	owner      agent.Owner
	repository string
	revision   string
	// elsewhere has the records of the Overlays that other replicas work on, as far as they own
	// what this one wants.
	elsewhere map[agent.Owner]agent.Inventory
}

// claims puts together who else may want, or may have let go of, what an Overlay wants.
func (s *Syncer) claims(ctx context.Context, o *v1alpha1.Overlay, revision string, live map[agent.Ref]agent.Live) claims {
	c := claims{syncer: s, owner: OwnerOf(o), repository: o.RepositoryName().String(), revision: revision, elsewhere: map[agent.Owner]agent.Inventory{}}
	for _, object := range live {
		other := object.Owner
		if _, asked := c.elsewhere[other]; asked || other == c.owner || other == (agent.Owner{}) || !s.Elsewhere.Has(other) {
			continue
		}
		c.elsewhere[other] = nil // it lets go of nothing
		if inventory, err := s.Inventories.Look(ctx, other); err == nil {
			c.elsewhere[other] = inventory
		}
	}
	return c
}

// Wanted returns another Overlay whose newest set has the object. Only those of the same
// Repository or the same namespace count: objects move between them, and nobody else can keep
// an object alive by naming it.
func (c claims) Wanted(ref agent.Ref) (agent.Owner, bool) {
	c.syncer.mu.Lock()
	defer c.syncer.mu.Unlock()
	var found agent.Owner
	for owner, m := range c.syncer.overlays {
		near := m.repository == c.repository || owner.Namespace == c.owner.Namespace
		if owner != c.owner && near && m.wanted[ref] && (found == (agent.Owner{}) || owner.String() < found.String()) {
			found = owner // always the same one, or the message would change with every pass
		}
	}
	if found == (agent.Owner{}) {
		return c.syncer.Elsewhere.Claiming(c.owner.Namespace, ref)
	}
	return found, true
}

// Released tells whether owner is gone, or has looked at its newest revision and does not
// want the object any more. One that another replica works on says so in its record.
func (c claims) Released(owner agent.Owner, ref agent.Ref) bool {
	if inventory, elsewhere := c.elsewhere[owner]; elsewhere {
		entry, recorded := inventory[ref]
		return inventory != nil && (!recorded || entry.Released)
	}
	c.syncer.mu.Lock()
	defer c.syncer.mu.Unlock()
	m, known := c.syncer.overlays[owner]
	if !known {
		return true
	}
	if m.repository == c.repository && m.claimed != c.revision {
		return false
	}
	return m.wanted != nil && !m.wanted[ref]
}

// Settled tells whether every other Overlay of the Repository has looked at the revision, or
// at any if there is none. One that cannot be rendered has looked: a broken neighbour must not
// stop pruning for ever.
func (c claims) Settled() bool {
	c.syncer.mu.Lock()
	defer c.syncer.mu.Unlock()
	for owner, m := range c.syncer.overlays {
		if owner == c.owner || m.repository != c.repository {
			continue
		}
		if m.claimed == "" || c.revision != "" && m.claimed != c.revision {
			return false
		}
	}
	return true
}

// releasing marks in an inventory what is left to Overlays that other replicas work on: they read
// it there.
func (s *Syncer) releasing(inventory agent.Inventory, p agent.Plan) agent.Inventory {
	left := map[agent.Ref]bool{}
	for _, v := range p.Violations {
		left[v.Ref] = v.Heir != (agent.Owner{}) && s.Elsewhere.Has(v.Heir)
	}
	next := inventory.Clone()
	for ref, entry := range inventory {
		if entry.Released != left[ref] {
			entry.Released = left[ref]
			next[ref] = entry
		}
	}
	return next
}
