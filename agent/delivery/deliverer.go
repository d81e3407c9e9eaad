package delivery

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/engine/pipelines"
	"github.com/sluice-dev/sluice/agent/task"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// checkEvery is how often it is asked whether a version is still there.
	checkEvery = time.Hour
	// refusedRetry is the pause after what somebody has to change, such as a right, of which nothing tells.
	refusedRetry = 10 * time.Minute
	// longestPause is the longest after what passes by itself.
	longestPause = 5 * time.Minute
	// deliverTime bounds one delivery.
	deliverTime = 2 * time.Minute
	// atOnce is how many are under way.
	atOnce = 8
)

// Deliverer delivers Pipelines. It may be used from several goroutines, one for each Pipeline.
type Deliverer struct {
	Cluster *cluster.Cluster
	Servers *pipelines.Servers
	// Cache has Retrainings and their runs, whose versions stay.
	Cache client.Reader
	// DefaultAccount is the ServiceAccount, in a Pipeline's own namespace, that works for Pipelines which
	// name none. Empty for the agent's own account, of which no token goes to a server.
	DefaultAccount string
	// Done is called with a Pipeline that there is news of. It must not block.
	Done func(types.NamespacedName)

	once     sync.Once
	tasks    task.Tasks[types.NamespacedName, outcome]
	mu       sync.Mutex
	memories map[types.NamespacedName]*memory
}

// memory is what is remembered of one Pipeline between passes; it only saves work.
type memory struct {
	session *cluster.Session // in which its ConfigMap is followed

	wish     wish   // that outcome and err answer
	good     string // the source that is delivered
	outcome  outcome
	err      error
	at       time.Time // when that was known
	failures int       // in a row
}

// wish is what is to be so.
type wish struct {
	source    string // a digest of the spec and the package
	requested string // the request to look at it that is answered
}

// Phase sorts reports for the conditions.
type Phase string

// Phases of reports.
const (
	// Ready: the version is there.
	Ready Phase = "Ready"
	// Progressing: it is being delivered.
	Progressing Phase = "Progressing"
	// Failing: something failed; it is tried again.
	Failing Phase = "Failing"
	// Stalled: it cannot go on until somebody changes something.
	Stalled Phase = "Stalled"
)

// Report is what a pass came to.
type Report struct {
	// Nothing is new: what is on record stands.
	Nothing bool
	// Status of the Pipeline, but for its conditions.
	Status v1alpha1.PipelineStatus
	// Phase, Reason and Message are what is to be in the conditions.
	Phase   Phase
	Reason  string
	Message string
	// Pruned are the versions that were deleted since the last pass.
	Pruned []string
	// Again is when to come back though nothing happens; zero for never.
	Again time.Time
}

// Pass takes a Pipeline as far as it can go now.
func (d *Deliverer) Pass(ctx context.Context, p *v1alpha1.Pipeline, now time.Time) Report {
	d.once.Do(func() { d.tasks.Parallel, d.tasks.Done = atOnce, d.Done })
	name, m := client.ObjectKeyFromObject(p), d.memory(p)
	j := job{pipeline: p.DeepCopy(), account: d.account(p), first: m.wish == wish{}}
	content, err := d.content(ctx, m, j)
	if err != nil {
		m.take(wish{}, outcome{}, err, now)
		return m.report(p)
	}
	j.content, j.wish = content, wishOf(j, content)
	if m.wish == j.wish && now.Before(m.due(p)) && !d.tasks.Under(name) {
		return m.report(p)
	}
	do := func(ctx context.Context) (outcome, error) { return d.deliver(ctx, j) }
	made, err, known := d.tasks.Ask(name, do)
	if known && made.wish != j.wish && made.wish != (wish{}) { // it was of what the Pipeline said before
		made, err, known = d.tasks.Ask(name, do)
	}
	if !known {
		return m.underWay(p, j)
	}
	m.take(j.wish, made, err, now)
	report := m.report(p)
	report.Pruned = made.pruned
	return report
}

// Forget drops everything remembered of a Pipeline that is gone, or that others work on.
func (d *Deliverer) Forget(name types.NamespacedName) {
	d.mu.Lock()
	m := d.memories[name]
	delete(d.memories, name)
	d.mu.Unlock()
	if m != nil && m.session != nil {
		m.session.Leave(owner(name))
	}
	d.tasks.Forget(func(other types.NamespacedName) bool { return other == name })
}

func owner(name types.NamespacedName) agent.Owner {
	return agent.Owner{Kind: agent.PipelineOwner, Namespace: name.Namespace, Name: name.Name}
}

func (d *Deliverer) memory(p *v1alpha1.Pipeline) *memory {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.memories == nil {
		d.memories = map[types.NamespacedName]*memory{}
	}
	m := d.memories[client.ObjectKeyFromObject(p)]
	if m == nil {
		m = &memory{}
		d.memories[client.ObjectKeyFromObject(p)] = m
	}
	return m
}

// account is the one in whose name a Pipeline is delivered.
func (d *Deliverer) account(p *v1alpha1.Pipeline) cluster.Account {
	if name := cmp.Or(p.Spec.ServiceAccountName, d.DefaultAccount); name != "" {
		return cluster.Account{Namespace: p.Namespace, Name: name}
	}
	return cluster.Account{}
}

func wishOf(j job, content string) wish {
	sum := sha256.New()
	spec, err := json.Marshal([]any{j.pipeline.Spec, j.account.String(), j.pipeline.UID})
	if err != nil {
		panic("the spec of a Pipeline cannot be encoded: " + err.Error()) // it has texts and numbers
	}
	sum.Write(spec)
	sum.Write([]byte(content))
	requested, _ := meta.ReconcileAnnotationValue(j.pipeline.Annotations)
	return wish{hex.EncodeToString(sum.Sum(nil)), requested}
}

// take takes in what came of a wish. The empty wish is for what could not be read, and stands for nothing.
func (m *memory) take(w wish, made outcome, err error, now time.Time) {
	m.wish, m.outcome, m.err, m.at = w, made, err, now
	switch {
	case err == nil:
		m.good, m.failures = w.source, 0
	case made.still:
		m.good = w.source
		fallthrough
	default:
		m.failures++
	}
}

// due is when to ask again though nothing has changed.
func (m *memory) due(p *v1alpha1.Pipeline) time.Time {
	switch {
	case m.err == nil:
		return m.at.Add(spread(checkEvery, string(p.UID)))
	case !temporary(m.err):
		return m.at.Add(refusedRetry)
	}
	return m.at.Add(min(time.Second<<min(m.failures, 10), longestPause))
}

// spread makes a time longer by up to a tenth, always by the same, so that not all fall due at once.
func spread(d time.Duration, seed string) time.Duration {
	sum := sha256.Sum256([]byte(seed))
	return d + d/10*time.Duration(sum[0])/256
}

// underWay is the report while a server is asked. What is delivered stays on record while it is asked whether
// it is there; of something new there is no version yet.
func (m *memory) underWay(p *v1alpha1.Pipeline, j job) Report {
	if m.good == j.wish.source || m.wish.source == j.wish.source || j.first && answered(p) {
		return Report{Nothing: true}
	}
	status := *p.Status.DeepCopy()
	status.Version, status.VersionID, status.Revision = "", "", ""
	return Report{Status: status, Phase: Progressing, Reason: v1alpha1.ProgressingReason, Message: "its package is being delivered"}
}

// answered tells that the status is of the spec as it is, and that there is a version.
func answered(p *v1alpha1.Pipeline) bool {
	return p.Status.ObservedGeneration == p.Generation && p.Status.Version != "" && len(p.Status.Conditions) > 0
}

// stands tells that the version on record is of the spec and the package as they are, as far as that is known.
func (m *memory) stands(p *v1alpha1.Pipeline) bool {
	return answered(p) && (m.wish.source == "" || m.good == m.wish.source)
}

// report says what the last answer comes to.
func (m *memory) report(p *v1alpha1.Pipeline) Report {
	r := Report{Status: *p.Status.DeepCopy(), Again: m.due(p)}
	s := &r.Status
	if m.err != nil {
		r.Phase, r.Reason, r.Message = Stalled, reasonOf(m.err), m.err.Error()
		if temporary(m.err) {
			r.Phase = Failing
		}
		if m.stands(p) {
			r.Message = fmt.Sprintf("it was delivered as %s; since then: %s", s.Version, m.err)
		} else {
			s.Version, s.VersionID, s.Revision = "", "", ""
		}
		return r
	}
	v := m.outcome.version
	if s.Digest != m.outcome.digest || s.PipelineID != v.PipelineID || s.DeliveredAt == nil {
		s.DeliveredAt = stamp(m.at)
	}
	s.PipelineID, s.Version, s.VersionID, s.Digest = v.PipelineID, v.Name, v.ID, m.outcome.digest
	s.Revision = p.Annotations[v1alpha1.RevisionAnnotation]
	r.Phase, r.Reason, r.Message = Ready, v1alpha1.SucceededReason, fmt.Sprintf("Kubeflow Pipelines has %s of it, as %s", v.Name, pipelines.NameOf(p))
	if m.outcome.unpruned != nil {
		r.Message += "; old versions are not deleted: " + m.outcome.unpruned.Error()
	}
	return r
}
