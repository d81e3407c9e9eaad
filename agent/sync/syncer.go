package sync

import (
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/execute"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/sluice-dev/sluice/agent/trace"
)

// Syncer carries out passes. It may be used from several goroutines, one for each Overlay.
type Syncer struct {
	Cluster     *cluster.Cluster
	Inventories *record.Inventories
	Renders     *render.Pool
	Keep        Keep
	Metrics     *record.Metrics // nil for none
	Limits      execute.Limits
	// DefaultAccount is the ServiceAccount, in an Overlay's own namespace, that works for
	// Overlays which name none. Empty for the agent's own account.
	DefaultAccount string
	// Elsewhere knows the Overlays that other replicas work on.
	Elsewhere Elsewhere

	trees gitrepo.Trees

	mu       sync.Mutex
	overlays map[agent.Owner]*memory
}

// Elsewhere knows the Overlays that other replicas work on, by what they say of themselves.
type Elsewhere interface {
	// Has tells whether another replica works on an Overlay.
	Has(agent.Owner) bool
	// Claiming returns an Overlay of a namespace that another replica works on and that wants an
	// object which belongs to another Overlay.
	Claiming(namespace string, object agent.Ref) (agent.Owner, bool)
}

// memory is what is remembered of one Overlay between passes.
type memory struct {
	// repository is the namespace/name of its Repository; empty while it is suspended.
	repository string
	rendered   rendered
	good       agent.Set // what could be rendered last
	begun      bool      // what was kept on disk was looked for
	partial    *partial  // nil if its parts are not known
	whole      bool      // it is always built whole
	behind     behind
	redact     redactor         // of values that came from Secrets
	session    *cluster.Session // of the account it works as
	// claimed is the revision at which wanted was found out, or could not be.
	claimed string
	wanted  map[agent.Ref]bool
	reading reading // what it was found out from
	reached reached

	// since is when the objects were last changed, or first looked at: health has spec.timeout
	// from then on.
	since    time.Time
	healthy  bool // all objects were, at the last pass
	failures int  // passes in a row that failed
	fights   map[agent.Ref]fight
}

// rendered is the outcome of a render, which stands as long as its key stays the same and the
// trace of what was read holds.
type rendered struct {
	key    string
	source render.Source // where it was last found to stand
	traces []trace.Trace // of what was read; all have to hold
	set    agent.Set
	err    error
	// retry is set for failures that may go away by themselves, such as a killed worker.
	retry bool
	again time.Time // when
	// sketch: the set was kept over a restart, in its final shape and without its contents.
	sketch bool
	// kept: it is on disk as it is here.
	kept bool
}

// reached is how far an Overlay is, for its dependents and its Repository.
type reached struct {
	revision   string
	generation int64
	ready      bool
}

// OwnerOf names an Overlay.
func OwnerOf(o *v1alpha1.Overlay) agent.Owner {
	return agent.Owner{Namespace: o.Namespace, Name: o.Name}
}

func (s *Syncer) memory(owner agent.Owner) *memory {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.overlays == nil {
		s.overlays = map[agent.Owner]*memory{}
	}
	m, known := s.overlays[owner]
	if !known {
		m = &memory{fights: map[agent.Ref]fight{}}
		s.overlays[owner] = m
	}
	return m
}

// Note remembers that an Overlay exists and which Repository it follows, before its first
// pass: until then, what it wants is not known, and nothing that it may want is pruned. One
// that is not at work (suspended, or denied) keeps what it has, and nobody waits for it.
func (s *Syncer) Note(o *v1alpha1.Overlay, atWork bool) {
	m := s.memory(OwnerOf(o))
	s.mu.Lock()
	defer s.mu.Unlock()
	m.repository = o.RepositoryName().String()
	if !atWork {
		m.repository = ""
	}
}

// release notes that an Overlay is being deleted: it wants nothing any more.
func (s *Syncer) release(m *memory) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.repository, m.wanted = "", map[agent.Ref]bool{}
}

// Forget drops everything remembered of an Overlay that is gone, or that others work on.
func (s *Syncer) Forget(owner agent.Owner) {
	s.mu.Lock()
	m, known := s.overlays[owner]
	delete(s.overlays, owner)
	s.mu.Unlock()
	if known && m.session != nil {
		m.session.Leave(owner)
	}
	s.Inventories.Forget(owner)
	_ = s.Keep.forget(owner) // a file that stays is of no use to anybody, and of no harm
}

// Reached tells whether an Overlay has come to the end of a revision in its present
// generation, and whether it is Ready there.
func (s *Syncer) Reached(o *v1alpha1.Overlay, revision string) (at, ready bool) {
	m := s.memory(OwnerOf(o))
	s.mu.Lock()
	defer s.mu.Unlock()
	at = m.reached.revision == revision && m.reached.generation == o.Generation
	return at, at && m.reached.ready
}

// arrive notes how far a pass came and tells whether that is news to others.
func (s *Syncer) arrive(m *memory, now reached) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	news := m.reached != now
	m.reached = now
	return news
}

// claim notes what an Overlay wants at a revision, or that this cannot be known (a nil set),
// and tells whether that is news to others.
func (s *Syncer) claim(m *memory, o *v1alpha1.Overlay, revision string, set *agent.Set) bool {
	var wanted map[agent.Ref]bool
	if set != nil {
		wanted = make(map[agent.Ref]bool, len(set.Objects))
		for _, o := range set.Objects {
			wanted[o.Ref] = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	news := m.claimed != revision
	m.claimed = revision
	if set != nil {
		m.wanted, m.reading = wanted, reading{o.Generation, m.rendered.traces}
	}
	return news
}
