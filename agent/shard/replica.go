package shard

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	leases "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/cache"
)

// Names of the Leases and of what is on them.
const (
	// TableName is the name of the Lease that has the table, and how the names of the replicas'
	// own Leases begin.
	TableName = "sluice-agent"
	// Label is on all Leases of the agent; its value tells the table from replicas.
	Label = "sluice.dev/agent"
	// Annotation has the table.
	Annotation = "sluice.dev/shards"
)

// Values of Label.
const (
	labelTable   = "shards"
	labelReplica = "replica"
)

// Replica is this process among those that divide the work.
type Replica struct {
	// Leases of the agent's namespace. It must not be fenced.
	Leases leases.LeaseInterface
	// Host is the name of the Pod or machine, for people to read.
	Host string
	// Duration is the time after which the shards of a replica that does not renew its Lease are
	// taken over. It renews every fifth of that, and does nothing after seven tenths.
	Duration time.Duration
}

// Share works on the shards that fall to this replica until ctx ends, and leaves the others its
// shards then.
func (s *Shares) Share(ctx context.Context, r Replica) error {
	working, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	ended := make(chan struct{})
	go func() { defer close(ended); s.work(working) }()

	m := &member{Replica: r, shares: s, seen: map[string]sighting{}, changed: make(signal, 1)}
	m.store = cache.NewStore(cache.MetaNamespaceKeyFunc)
	reflector := cache.NewReflectorWithOptions(m.source(), &coordinationv1.Lease{}, told{m.store, m.changed}, cache.ReflectorOptions{Name: "leases"})
	go reflector.RunWithContext(working)
	m.run(ctx)
	m.leave(context.WithoutCancel(ctx))
	end()
	<-ended
	return nil
}

// member is a replica at work.
type member struct {
	Replica
	shares  *Shares
	store   cache.Store // all Leases of the agent
	changed signal      // when the store has

	mine  *coordinationv1.Lease // as last written; nil before the first
	table *coordinationv1.Lease // as last written by this replica
	seen  map[string]sighting   // of the Leases of others
	said  string                // in the log about the table last
}

// sighting is when a Lease was first seen as it is.
type sighting struct {
	version string
	at      time.Time
}

// told is a store that tells of every change.
type told struct {
	cache.Store
	changed signal
}

// Add, Update, Delete and Replace change the store.

// Add adds an object.
func (t told) Add(o any) error { defer t.changed.send(); return t.Store.Add(o) }

// Update updates an object.
func (t told) Update(o any) error { defer t.changed.send(); return t.Store.Update(o) }

// Delete deletes an object.
func (t told) Delete(o any) error { defer t.changed.send(); return t.Store.Delete(o) }

// Replace replaces all objects at once.
func (t told) Replace(all []any, version string) error {
	defer t.changed.send()
	return t.Store.Replace(all, version)
}

func (m *member) source() cache.ListerWatcher {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = Label
			return m.Leases.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = Label
			return m.Leases.Watch(ctx, o)
		},
	}
}

// run renews the Lease and heeds the table until ctx ends.
func (m *member) run(ctx context.Context) {
	tick := time.NewTicker(m.Duration / 5)
	defer tick.Stop()
	m.renew(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.renew(ctx)
		case <-m.changed:
		case <-m.shares.left:
		}
		m.bury(ctx)
		m.divide(ctx)
	}
}

// request bounds a request: one that takes longer than the next renewal is of no use.
func (m *member) request(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, m.Duration/5)
}

// renew renews this replica's Lease, or makes one.
func (m *member) renew(ctx context.Context) {
	if m.mine == nil && m.shares.pick(state.free).Len() < Count {
		return // what it did under another name is still ending
	}
	requests, cancel := m.request(ctx)
	defer cancel()
	start := time.Now()
	written, err := m.write(requests, start)
	if err == nil {
		m.mine = written
		m.shares.renewed(start.Add(m.Duration * 7 / 10))
		return
	}
	clear(m.seen)                  // who cannot reach the API server cannot tell who else does
	if apierrors.IsConflict(err) { // the answer to a renewal was lost, or somebody wrote on it
		now, failed := m.Leases.Get(requests, m.mine.Name, metav1.GetOptions{})
		if failed == nil && now.UID == m.mine.UID {
			m.mine = now
			return
		}
		err = failed
	}
	switch {
	case m.mine != nil && (err == nil || apierrors.IsNotFound(err)):
		m.log(ctx).Info("this replica was taken for dead, and begins anew", "lease", m.mine.Name)
		m.mine = nil
		m.shares.heed(Table{}, "nobody")
	case ctx.Err() == nil:
		m.log(ctx).Error(err, "the Lease of this replica cannot be renewed")
	}
}

// write sends what renews the Lease. That is a patch, for an update would create a Lease that
// is gone.
func (m *member) write(ctx context.Context, now time.Time) (*coordinationv1.Lease, error) {
	renewed := metav1.NewMicroTime(now)
	if m.mine != nil {
		patch, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"uid": m.mine.UID, "resourceVersion": m.mine.ResourceVersion},
			"spec":     map[string]any{"renewTime": renewed},
		})
		if err != nil {
			return nil, err
		}
		return m.Leases.Patch(ctx, m.mine.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	}
	seconds := int32(m.Duration / time.Second)
	return m.Leases.Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{GenerateName: TableName + "-", Labels: map[string]string{Label: labelReplica}},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &m.Host, LeaseDurationSeconds: &seconds, AcquireTime: &renewed, RenewTime: &renewed},
	}, metav1.CreateOptions{})
}

// bury deletes the Leases of replicas that have not renewed them for their whole duration, each
// in the version that was not renewed.
func (m *member) bury(ctx context.Context) {
	if m.mine == nil || m.shares.resting() {
		return
	}
	now := time.Now()
	present := map[string]bool{}
	_, replicas := m.leases()
	for _, lease := range replicas {
		if lease.UID == m.mine.UID {
			continue
		}
		present[lease.Name] = true
		was, known := m.seen[lease.Name]
		if !known || was.version != lease.ResourceVersion {
			m.seen[lease.Name] = sighting{lease.ResourceVersion, now}
			continue
		}
		if now.Sub(was.at) <= m.durationOf(lease) {
			continue
		}
		requests, cancel := m.request(ctx)
		err := m.Leases.Delete(requests, lease.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &lease.UID, ResourceVersion: &lease.ResourceVersion}})
		cancel()
		if err == nil {
			m.log(ctx).Info("a replica is gone: it has not renewed its Lease", "lease", lease.Name, "host", lease.Spec.HolderIdentity)
		}
	}
	maps.DeleteFunc(m.seen, func(name string, _ sighting) bool { return !present[name] })
}

// durationOf is how long a Lease stands, as its replica wrote it.
func (m *member) durationOf(lease *coordinationv1.Lease) time.Duration {
	if seconds := lease.Spec.LeaseDurationSeconds; seconds != nil && *seconds > 0 {
		return time.Duration(*seconds) * time.Second
	}
	return m.Duration
}

// leases returns what the store has: the table, and the Leases of the replicas.
func (m *member) leases() (table *coordinationv1.Lease, replicas []*coordinationv1.Lease) {
	for _, o := range m.store.List() {
		switch lease := o.(*coordinationv1.Lease); {
		case lease.Name == TableName:
			table = lease
		case lease.Labels[Label] == labelReplica:
			replicas = append(replicas, lease)
		}
	}
	return table, replicas
}

// divide brings the table up to date, if it is not, and heeds it.
func (m *member) divide(ctx context.Context) {
	if m.mine == nil || m.shares.resting() {
		return
	}
	lease, replicas := m.leases()
	var alive []string
	for _, r := range replicas {
		alive = append(alive, r.Name)
	}
	if !slices.Contains(alive, m.mine.Name) {
		return // what the store shows is older than this replica
	}
	if m.table != nil && (lease == nil || older(lease, m.table)) {
		lease = m.table
	}
	var text string
	if lease != nil {
		text = lease.Annotations[Annotation]
	}
	table, err := Parse(text)
	if err != nil && len(alive) > 1 {
		m.say(ctx, fmt.Sprintf("waiting for the other replicas to end: the annotation %s of Lease %s cannot be read: %s", Annotation, TableName, err))
		return
	}
	next := table.Release(m.mine.Name, m.shares.pick(state.free)).Divide(alive)
	if lease == nil || next != table {
		if m.publish(ctx, lease, next) {
			table = next
		}
	}
	m.shares.heed(table, m.mine.Name)
	m.say(ctx, fmt.Sprintf("this replica has %d of %d shards; replicas: %d", table.Held(m.mine.Name).Len(), Count, len(alive)))
}

// publish writes the table, unless somebody else has written it meanwhile, of which the watch
// will tell.
func (m *member) publish(ctx context.Context, before *coordinationv1.Lease, table Table) bool {
	requests, cancel := m.request(ctx)
	defer cancel()
	var err error
	if before == nil {
		m.table, err = m.Leases.Create(requests, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
			Name: TableName, Labels: map[string]string{Label: labelTable}, Annotations: map[string]string{Annotation: table.String()},
		}}, metav1.CreateOptions{})
	} else {
		lease := before.DeepCopy()
		metav1.SetMetaDataAnnotation(&lease.ObjectMeta, Annotation, table.String())
		m.table, err = m.Leases.Update(requests, lease, metav1.UpdateOptions{})
	}
	if err == nil {
		return true
	}
	m.table = nil
	if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && ctx.Err() == nil {
		m.log(ctx).Error(err, "the division of the work cannot be written", "lease", TableName)
	}
	return false
}

// leavePatience is how long a replica that ends waits for its work to end.
const leavePatience = 10 * time.Second

// leave ends all work, and then the Lease, so that the others go on at once. Work that does not
// end keeps them waiting until the Lease is over.
func (m *member) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leavePatience)
	defer cancel()
	m.shares.heed(Table{}, "nobody")
	for m.shares.pick(state.free).Len() < Count {
		select {
		case <-ctx.Done():
			return
		case <-m.shares.left:
		}
	}
	if m.mine != nil {
		if err := m.Leases.Delete(ctx, m.mine.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &m.mine.UID}}); err != nil {
			m.log(ctx).Error(err, "the Lease of this replica stays until its time is over", "lease", m.mine.Name)
		}
	}
}

// say logs what has not just been said.
func (m *member) say(ctx context.Context, what string) {
	if m.said != what {
		m.said = what
		m.log(ctx).Info(what)
	}
}

// log is that of the replica.
func (m *member) log(ctx context.Context) logr.Logger { return logr.FromContextOrDiscard(ctx) }

// older compares the versions of two states of one object.
func older(a, b *coordinationv1.Lease) bool {
	va, erra := strconv.ParseUint(a.ResourceVersion, 10, 64)
	vb, errb := strconv.ParseUint(b.ResourceVersion, 10, 64)
	return erra == nil && errb == nil && va < vb
}
