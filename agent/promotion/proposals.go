package promotion

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/types"
)

// Proposals are made in the background: to find the line takes renders, and a forge may hang.
type Proposals struct {
	Git Git
	// Made is called with the Model whose proposal was made, or could not be.
	Made func(types.NamespacedName)

	once  sync.Once
	seats chan struct{}
	mu    sync.Mutex
	under map[proposalKey]*attempt
}

// proposalKey names what is proposed, whatever the evidence.
type proposalKey struct {
	model                              types.NamespacedName
	promotion, stage, version, reverts string
}

// attempt is the last attempt at one proposal.
type attempt struct {
	running  bool
	made     v1alpha1.ProposalStatus
	err      error
	ended    time.Time
	failures int // in a row
}

// proposalsAtOnce is how many are made side by side.
const proposalsAtOnce = 2

// ask returns what has become of a proposal, and has it made if it has not been or is to be tried
// again. Again is when that is; made is nil while it is under way.
func (p *Proposals) ask(m *v1alpha1.Model, proposal Proposal) (made *v1alpha1.ProposalStatus, again time.Time, err error) {
	key := proposalKey{types.NamespacedName{Namespace: m.Namespace, Name: m.Name}, proposal.Promotion, proposal.Stage, proposal.Version, proposal.Reverts}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.under == nil {
		p.under = map[proposalKey]*attempt{}
	}
	a := p.under[key]
	if a == nil {
		a = &attempt{}
		p.under[key] = a
	}
	switch again := a.ended.Add(proposeBackoff(a.failures)); {
	case a.running:
		return nil, time.Time{}, nil
	case !a.ended.IsZero() && a.err == nil:
		delete(p.under, key) // it goes on record
		return &a.made, time.Time{}, nil
	case a.err != nil && time.Now().Before(again):
		return &v1alpha1.ProposalStatus{}, again, a.err
	}
	a.running = true
	go p.make(m.DeepCopy(), proposal, key, a)
	return nil, time.Time{}, nil
}

func (p *Proposals) make(m *v1alpha1.Model, proposal Proposal, key proposalKey, a *attempt) {
	p.once.Do(func() { p.seats = make(chan struct{}, proposalsAtOnce) })
	p.seats <- struct{}{}
	made, err := p.propose(m, proposal)
	<-p.seats
	p.mu.Lock()
	a.running, a.made, a.err, a.ended = false, made, err, time.Now()
	if a.failures++; err == nil {
		a.failures = 0
	}
	p.mu.Unlock()
	p.Made(key.model)
}

// propose makes a proposal. It reads what others wrote: should that make it panic, it has failed.
func (p *Proposals) propose(m *v1alpha1.Model, proposal Proposal) (made v1alpha1.ProposalStatus, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("a mistake in the agent: %v", cause)
		}
	}()
	return p.Git.Propose(context.Background(), m, proposal) // it has a limit of its own
}

// proposeBackoff doubles from a minute to an hour: what keeps a line from being found or a branch
// from being pushed, somebody has to change.
func proposeBackoff(failures int) time.Duration {
	return min(time.Minute<<min(max(failures-1, 0), 6), time.Hour)
}

// forget drops what is remembered of a Model.
func (p *Proposals) forget(model types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key := range p.under {
		if key.model == model {
			delete(p.under, key)
		}
	}
}
