package pull

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	gosync "sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/forge"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/shard"
	"github.com/sluice-dev/sluice/agent/sync"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// Repositories are what the Desk needs to know of those that the agent fetches.
type Repositories interface {
	// Source is the newest revision of a Repository, if it was fetched.
	Source(types.NamespacedName) (sync.Source, bool)
	// Looked is when a Repository was last looked at without an error.
	Looked(types.NamespacedName) time.Time
	// Look has a Repository looked at now.
	Look(types.NamespacedName)
	// Wake has a Repository reported anew.
	Wake(types.NamespacedName)
}

// Desk reconciles the pull requests of Repositories: one task is a look at a forge, or what there is to
// do about one pull request. One that takes long holds up no other.
type Desk struct {
	Client       client.Client
	Forges       *forge.Forges
	Fetcher      *Fetcher
	Planner      Planner
	Repositories Repositories
	Events       record.Events
	// Shares says which Repositories this replica works on.
	Shares *shard.Shares

	queue  queue
	mu     gosync.Mutex
	tables map[types.NamespacedName]*table
}

// task is what is done at a time: about one pull request, or by one of the numbers that none has.
type task struct {
	repository types.NamespacedName
	number     int
}

const (
	look      = 0  // at the forge
	proposals = -1 // of Models and of runs
)

// table is what is known of the pull requests of one Repository. The record in its status is what
// counts after a restart; the rest saves calls.
type table struct {
	uid        types.UID
	generation int64
	asked      string    // what annotations asked for, at the last look
	looked     time.Time // zero: not yet
	met        bool      // a look has come to its end
	open       map[int]forge.Pull
	records    map[int]v1alpha1.PullRequestStatus
	written    []v1alpha1.PullRequestStatus
	planned    map[int]Planned
	early      map[int]bool                    // planned before the Overlays had come
	posted     map[int]map[string]forge.Status // statuses of merged ones, by context
	drafts     map[int]string                  // digest of what ours were last made to say
	troubles   map[int]hitch
	writing    gosync.Mutex // held while records are written, so that older ones do not come last
}

// hitch is why a task could not be done, and how often that was tried in a row.
type hitch struct {
	reason, message string
	tries           int
}

const (
	interval      = time.Minute
	intervalHooks = 10 * time.Minute // where hooks tell of changes
	firstRetry    = 5 * time.Second
	longestRetry  = 5 * time.Minute
)

// every is the pause between two looks at the forge.
func every(repo *v1alpha1.Repository) time.Duration {
	switch asked := repo.Spec.PullRequests; {
	case asked.Interval != nil && asked.Interval.Duration > 0:
		return asked.Interval.Duration
	case repo.Spec.Receiver != nil:
		return intervalHooks
	}
	return interval
}

// Reconcile does one task.
func (d *Desk) Reconcile(ctx context.Context, t task) (ctrl.Result, error) {
	var repo v1alpha1.Repository
	if err := d.Client.Get(ctx, t.repository, &repo); err != nil {
		if apierrors.IsNotFound(err) {
			d.forget(t.repository)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	ctx, done, mine := d.Shares.Hold(ctx, t.repository)
	if !mine {
		return ctrl.Result{}, nil
	}
	defer done()
	if repo.Spec.PullRequests == nil || repo.Spec.Suspend || !repo.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, d.leave(ctx, &repo)
	}
	again, err := d.work(ctx, &repo, t)
	if ctx.Err() != nil {
		return ctrl.Result{}, nil // the work was ended: what was cut off is no failure
	}
	again = d.note(ctx, &repo, t, again, err)
	if err := d.write(ctx, &repo); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: again}, nil
}

// work does one task, and says when to come back.
func (d *Desk) work(ctx context.Context, repo *v1alpha1.Repository, t task) (again time.Duration, err error) {
	defer func() {
		if cause := recover(); cause != nil { // it reads what strangers wrote
			err = fmt.Errorf("a mistake in the agent: %v", cause)
		}
	}()
	f, err := d.Forges.Of(ctx, repo)
	if err != nil {
		return 0, err
	}
	w := &work{Desk: d, repo: repo, forge: f, table: d.table(repo), now: time.Now()}
	switch t.number {
	case look:
		return w.look(ctx)
	case proposals:
		return 0, w.propose(ctx)
	}
	return 0, w.meet(ctx, t.number)
}

// work is one task under way. What it takes from the table and puts there is a copy.
type work struct {
	*Desk
	repo  *v1alpha1.Repository
	forge *forge.Forge
	table *table
	now   time.Time
}

func (w *work) name() types.NamespacedName { return client.ObjectKeyFromObject(w.repo) }

// table returns what is known of a Repository: at first, what its status says.
func (d *Desk) table(repo *v1alpha1.Repository) *table {
	d.mu.Lock()
	defer d.mu.Unlock()
	name := client.ObjectKeyFromObject(repo)
	if known := d.tables[name]; known != nil && known.uid == repo.UID {
		return known
	}
	t := &table{
		uid: repo.UID, open: map[int]forge.Pull{}, records: map[int]v1alpha1.PullRequestStatus{}, planned: map[int]Planned{}, early: map[int]bool{},
		posted: map[int]map[string]forge.Status{}, drafts: map[int]string{}, troubles: map[int]hitch{},
		written: repo.Status.PullRequests,
	}
	for _, r := range repo.Status.PullRequests {
		t.records[int(r.Number)] = r
	}
	d.tables[name] = t
	return t
}

// known returns what is known of one pull request.
func (w *work) known(number int) (open forge.Pull, isOpen bool, r v1alpha1.PullRequestStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	open, isOpen = w.table.open[number]
	r = w.table.records[number]
	r.Number = int64(number)
	return open, isOpen, *r.DeepCopy()
}

// keep puts a record into the table. That it is the agent's own may have become known meanwhile.
func (w *work) keep(r v1alpha1.PullRequestStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.table.records[int(r.Number)]
	if over(now) && !over(r) {
		return // a look has found meanwhile that it is not open any more
	}
	r.Branch = cmp.Or(r.Branch, now.Branch)
	w.table.records[int(r.Number)] = r
}

// over tells that a pull request is not open any more.
func over(r v1alpha1.PullRequestStatus) bool {
	return r.State == v1alpha1.PullRequestMerged || r.State == v1alpha1.PullRequestDeclined
}

// drop forgets a pull request that there is nothing more to do about.
func (w *work) drop(number int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.table
	delete(t.open, number)
	delete(t.records, number)
	delete(t.planned, number)
	delete(t.early, number)
	delete(t.posted, number)
	delete(t.drafts, number)
	delete(t.troubles, number)
}

// records returns all records.
func (w *work) records() []v1alpha1.PullRequestStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	return listed(w.table.records)
}

func listed(records map[int]v1alpha1.PullRequestStatus) []v1alpha1.PullRequestStatus {
	list := make([]v1alpha1.PullRequestStatus, 0, len(records))
	for _, r := range records {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b v1alpha1.PullRequestStatus) int { return cmp.Compare(a.Number, b.Number) })
	return list
}

// note keeps what stands against a task, for the condition of the Repository, and says when it is to be
// tried again.
func (d *Desk) note(ctx context.Context, repo *v1alpha1.Repository, t task, again time.Duration, err error) time.Duration {
	table := d.table(repo)
	d.mu.Lock()
	before, had := table.troubles[t.number]
	news := had != (err != nil) || !table.met && t.number == look && err == nil
	table.met = table.met || t.number == look && err == nil
	delete(table.troubles, t.number)
	var now hitch
	if err != nil {
		now = hitch{"Failed", err.Error(), before.tries + 1}
		again = firstRetry
		if e, is := errors.AsType[*forge.Error](err); is {
			now.reason = string(e.Kind)
			if !e.Kind.Temporary() && e.Kind != forge.Conflict {
				again = longestRetry
			}
			again = max(again, time.Until(e.Until))
		}
		again = min(max(again, firstRetry<<min(before.tries, 6)), max(longestRetry, again))
		table.troubles[t.number] = now
	}
	d.mu.Unlock()
	if !news && before.reason == now.reason && before.message == now.message {
		return again
	}
	if err != nil {
		log.FromContext(ctx).Info("pull requests", "repository", client.ObjectKeyFromObject(repo), "number", t.number, "error", err.Error())
		d.Events.Warning(repo, repo.Status.Revision, "PullRequests"+now.reason, now.message)
	}
	d.Repositories.Wake(client.ObjectKeyFromObject(repo))
	return again
}

// Says is what stands against meeting people on the pull requests of a Repository: empty if nothing does,
// and false if nobody is met.
func (d *Desk) Says(name types.NamespacedName) (reason, message string, meets bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tables[name]
	if t == nil || !t.met && len(t.troubles) == 0 {
		return "", "", false
	}
	if len(t.troubles) == 0 {
		return "", "", true
	}
	first := t.troubles[slices.Min(slices.Collect(maps.Keys(t.troubles)))]
	return first.reason, first.message, true
}

// mostRecords is how many pull requests are on record.
const mostRecords = 256

// write puts the records into the status of the Repository, if they are not there.
func (d *Desk) write(ctx context.Context, repo *v1alpha1.Repository) error {
	t := d.table(repo)
	t.writing.Lock()
	defer t.writing.Unlock()
	d.mu.Lock()
	list := listed(t.records)
	list = list[max(0, len(list)-mostRecords):]
	same := equal(list, t.written)
	d.mu.Unlock()
	if same {
		return nil
	}
	if err := record.PullRequests(ctx, d.Client, repo, list); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t.written = list
	return nil
}

// leave is for a Repository whose pull requests are nobody's business here any more.
func (d *Desk) leave(ctx context.Context, repo *v1alpha1.Repository) error {
	name := client.ObjectKeyFromObject(repo)
	if repo.Spec.PullRequests == nil && len(repo.Status.PullRequests) > 0 {
		if err := record.PullRequests(ctx, d.Client, repo, nil); err != nil {
			return err
		}
	}
	d.mu.Lock()
	_, met := d.tables[name]
	d.mu.Unlock()
	d.forget(name)
	if met {
		d.Repositories.Wake(name)
	}
	return nil
}

func (d *Desk) forget(name types.NamespacedName) {
	d.mu.Lock()
	t := d.tables[name]
	delete(d.tables, name)
	d.mu.Unlock()
	d.Forges.Forget(name)
	if t != nil {
		d.Fetcher.Forget(t.uid)
	}
}

// asked is what annotations of a Repository ask for.
func asked(repo *v1alpha1.Repository) string {
	requested, _ := meta.ReconcileAnnotationValue(repo.Annotations)
	return requested + " " + repo.Annotations[v1alpha1.PullRequestsAnnotation]
}
