package promotion

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/execute"
	"github.com/sluice-dev/sluice/agent/gate"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/serving"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Promoter carries out passes. It may be used from several goroutines, one for each Model.
type Promoter struct {
	Cluster     *cluster.Cluster
	Inventories *record.Inventories
	Promotions  *record.Promotions
	// Cache has ModelVersions, PromotionPolicies and namespaces' metadata.
	Cache client.Reader
	// Live reads past the cache: Secrets, which are never kept.
	Live      client.Reader
	Artifacts *Artifacts
	Samples   *Samples
	Proposals *Proposals
	Git       Git
	Limits    execute.Limits
	// DefaultAccount is the ServiceAccount, in a Model's own namespace, that works for Models which
	// name none. Empty for the agent's own account.
	DefaultAccount string
	// Namespace of the agent, where the Secrets of PromotionPolicies are.
	Namespace string

	mu     sync.Mutex
	models map[agent.Owner]*memory
}

// Git is what a promotion needs of the Repository that a Model comes from.
type Git interface {
	// Signers tells which of some keys signed the commit that brought a version to a stage. The revision
	// is one with which the Model was applied.
	Signers(ctx context.Context, m *v1alpha1.Model, revision, stage, version string, keys map[string][]byte) gate.Approval
	// Reviewers tells who of some people approved the pull request that brought it, at most a minute ago.
	Reviewers(ctx context.Context, m *v1alpha1.Model, revision, stage, version string, whose v1alpha1.ReviewApproval) gate.Approval
	// Propose commits the version of a stage to a branch. Called again for the same, it makes no
	// second commit.
	Propose(ctx context.Context, m *v1alpha1.Model, p Proposal) (v1alpha1.ProposalStatus, error)
}

// Proposal is a version that Git is to name for a stage.
type Proposal struct {
	// Promotion is the name of the one that it follows from.
	Promotion      string
	Stage, Version string
	// Reverts is the version that was turned back, which Version is to come back for; empty for a
	// promotion.
	Reverts string
	// Evidence tells people why, a sentence each.
	Evidence []string
	// Replaces is the commit that was proposed before; empty for none.
	Replaces string
}

// memory is what is remembered of one Model between passes; it only saves work.
type memory struct {
	session  *cluster.Session
	settled  map[string]string                        // by stage: the digest of what is applied and has no way left to go
	trouble  map[string]string                        // by stage: what stood against applying
	live     map[agent.Ref]*unstructured.Unstructured // what the last pass has read
	unready  map[string]time.Time                     // by stage: since when what serves is not ready
	down     map[string]time.Time                     // by stage: since when none of its pods is available
	unknown  map[string]time.Time                     // by stage: since when there is no ModelVersion of what it asks for
	failures int                                      // passes in a row in which something failed
}

// Report is what a pass came to.
type Report struct {
	// Status of the Model, but for its conditions.
	Status v1alpha1.ModelStatus
	// Phase, Reason and Message are what is to be in the conditions.
	Phase   Phase
	Reason  string
	Message string
	// Healthy tells that what serves is healthy, and Unhealthy what is not.
	Healthy   bool
	Unhealthy string
	// Ended are the Promotions that came to an end in this pass, and Moved those that went on.
	Ended, Moved []v1alpha1.Promotion
	// Plan and Run are what was done to the objects that serve.
	Plan agent.Plan
	Run  agent.Run
	// Again is when to come back though nothing happens; zero for never.
	Again time.Time
}

// Phase sorts reports for the conditions.
type Phase string

// Phases of reports.
const (
	// Ready: each stage serves the version that its spec names.
	Ready Phase = "Ready"
	// Progressing: a promotion is under way.
	Progressing Phase = "Progressing"
	// Failing: something failed; it is tried again.
	Failing Phase = "Failing"
	// Stalled: it cannot go on until somebody changes something.
	Stalled Phase = "Stalled"
)

// OwnerOf names a Model as the owner of what serves it.
func OwnerOf(m *v1alpha1.Model) agent.Owner {
	return agent.Owner{Kind: agent.ModelOwner, Namespace: m.Namespace, Name: m.Name}
}

func (p *Promoter) memory(owner agent.Owner) *memory {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.models == nil {
		p.models = map[agent.Owner]*memory{}
	}
	known, is := p.models[owner]
	if !is {
		known = &memory{settled: map[string]string{}, trouble: map[string]string{}, unready: map[string]time.Time{}, down: map[string]time.Time{}, unknown: map[string]time.Time{}}
		p.models[owner] = known
	}
	return known
}

// Forget drops everything remembered of a Model that is gone, or that others work on.
func (p *Promoter) Forget(owner agent.Owner) {
	p.mu.Lock()
	known, is := p.models[owner]
	delete(p.models, owner)
	p.mu.Unlock()
	if is && known.session != nil {
		known.session.Leave(owner)
	}
	p.Inventories.Forget(owner)
	p.Promotions.Forget(types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name})
	p.Proposals.forget(types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name})
}

// Pass takes the stages of a Model as far as they can go now.
func (p *Promoter) Pass(ctx context.Context, m *v1alpha1.Model, now time.Time) Report {
	work := pass{Promoter: p, model: m, owner: OwnerOf(m), memory: p.memory(OwnerOf(m)), now: now, live: map[agent.Ref]*unstructured.Unstructured{}}
	if err := work.begin(ctx); err != nil {
		return work.failed(err)
	}
	for n := range m.Spec.Stages {
		work.stages = append(work.stages, work.stage(ctx, m.Spec.Stages[n]))
	}
	if err := work.serve(ctx); err != nil {
		return work.failed(err)
	}
	work.examine(ctx)
	work.propose(ctx)
	work.tidy(ctx)
	return work.report()
}

// pass is one pass over a Model.
type pass struct {
	*Promoter
	model  *v1alpha1.Model
	owner  agent.Owner
	memory *memory
	now    time.Time

	session    *cluster.Session
	abilities  serving.Abilities
	layout     string
	versions   versions
	promotions map[string][]v1alpha1.Promotion // by stage, the newest first
	policies   []v1alpha1.PromotionPolicy
	stages     []stage
	ended      []v1alpha1.Promotion
	moved      []v1alpha1.Promotion
	plan       agent.Plan
	run        agent.Run
	again      time.Time
	live       map[agent.Ref]*unstructured.Unstructured // what is read
}

// enter takes up the session of the Model's account.
func (w *pass) enter() error {
	account := cluster.Account{}
	if name := cmp.Or(w.model.Spec.ServiceAccountName, w.DefaultAccount); name != "" {
		account = cluster.Account{Namespace: w.model.Namespace, Name: name}
	}
	session, err := w.Cluster.As(account)
	if err != nil {
		return err
	}
	if w.memory.session != nil && w.memory.session != session {
		w.memory.session.Leave(w.owner)
		clear(w.memory.settled)
	}
	w.session, w.memory.session = session, session
	return nil
}

// begin reads what the pass is about.
func (w *pass) begin(ctx context.Context) (err error) {
	if err := w.enter(); err != nil {
		return err
	}
	if w.abilities, err = w.Cluster.Abilities(ctx); err != nil {
		return fmt.Errorf("what the cluster can do for models is not known: %w", err)
	}
	w.layout = serving.Layout(w.model.Spec.Serving, w.abilities)
	if w.versions, err = w.versionsOf(ctx); err != nil {
		return err
	}
	if w.promotions, err = w.Promotions.Of(ctx, w.model); err != nil {
		return err
	}
	w.policies, err = w.policiesFor(ctx)
	return err
}

// look has the next pass come at a time.
func (w *pass) look(at time.Time) {
	if !at.IsZero() && (w.again.IsZero() || at.Before(w.again)) {
		w.again = at
	}
}
