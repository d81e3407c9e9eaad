package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	gosync "sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/shard"
	"github.com/sluice-dev/sluice/agent/sync"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// Repositories reconciles Repositories: it fetches what their spec names and tells the
// Overlays when a new revision is there.
type Repositories struct {
	Client client.Client
	// Live reads past the cache. Secrets are never read otherwise: the agent keeps none in memory
	// and lists none.
	Live    client.Reader
	Events  record.Events
	Metrics *record.Metrics
	Syncer  *sync.Syncer
	// Shares says which Repositories this replica works on.
	Shares *shard.Shares
	// Dir holds a mirror for every Repository.
	Dir string
	// AllowInsecure allows http:// and file:// URLs.
	AllowInsecure bool
	// Moved is called with a Repository of which there is something else to go by than before: a new
	// revision, any at all after a start, or why there is none.
	Moved func(types.NamespacedName)
	// PullRequests says what stands against meeting people on the pull requests of a Repository: empty
	// if nothing does, and false if nobody is met.
	PullRequests func(types.NamespacedName) (reason, message string, meets bool)

	mu     gosync.Mutex
	heads  map[types.NamespacedName]head
	wanted map[types.NamespacedName]bool                 // a look, at once
	latest map[types.NamespacedName]*v1alpha1.Repository // as last written, until the cache has it
	queue  waker
}

// head is what the agent has of one Repository.
type head struct {
	source     sync.Source
	at         time.Time // of the last look
	generation int64
	requested  string
	failures   int
	err        error
	moved      time.Time     // when a look last found something new
	rest       time.Duration // from then until the next look
}

// Commits that come in a burst are gathered: the first is taken at once, and the more follow
// each other, the longer is the rest after each look.
const (
	shortestRest = 250 * time.Millisecond
	longestRest  = 4 * time.Second
)

// rested returns the head after a look that found something new.
func (h head) rested(now time.Time) head {
	if now.Sub(h.moved) < 2*max(h.rest, shortestRest) {
		h.rest = min(2*max(h.rest, shortestRest/2), longestRest)
	} else {
		h.rest = shortestRest
	}
	h.moved = now
	return h
}

// Source returns the newest fetched revision of a Repository, if there is one.
func (r *Repositories) Source(name types.NamespacedName) (sync.Source, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, known := r.heads[name]
	return h.source, known && h.source.Revision.Commit != ""
}

// Asked tells whether a Repository was looked at since the agent started, or need not be.
func (r *Repositories) Asked(repo *v1alpha1.Repository) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, known := r.heads[client.ObjectKeyFromObject(repo)]
	return known && (repo.Spec.Suspend || !h.at.IsZero())
}

// Failure returns why the last look at a Repository failed; nil if it did not.
func (r *Repositories) Failure(name types.NamespacedName) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.heads[name].err
}

// Looked is when a Repository was last looked at without an error.
func (r *Repositories) Looked(name types.NamespacedName) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.heads[name]; h.err == nil {
		return h.at
	}
	return time.Time{}
}

// Look has a Repository looked at now.
func (r *Repositories) Look(name types.NamespacedName) {
	r.mu.Lock()
	r.wanted[name] = true
	r.mu.Unlock()
	r.queue.wake(name, 0)
}

// Wake has a Repository reconciled soon, without a look at the remote.
func (r *Repositories) Wake(name types.NamespacedName) { r.queue.wake(name, arriving) }

// arriving is how long arrivals of Overlays at a revision are collected.
const arriving = 5 * time.Millisecond

// Reconcile brings one Repository up to date.
func (r *Repositories) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	repo, err := r.get(ctx, req.NamespacedName)
	if apierrors.IsNotFound(err) {
		r.gone(ctx, req.NamespacedName)
	}
	if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	ctx, done, mine := r.Shares.Hold(ctx, req.NamespacedName)
	if !mine {
		return ctrl.Result{}, nil
	}
	defer done()
	result, err := r.work(ctx, repo)
	if ctx.Err() != nil {
		return ctrl.Result{}, nil // the work was ended: what was cut off is no failure
	}
	return result, err
}

// work brings a Repository that is this replica's up to date.
func (r *Repositories) work(ctx context.Context, repo *v1alpha1.Repository) (ctrl.Result, error) {
	name := client.ObjectKeyFromObject(repo)
	h := r.begin(repo)
	before := repo.DeepCopy()
	requested, _ := meta.ReconcileAnnotationValue(repo.Annotations)
	if repo.Spec.Suspend {
		repo.Status.ObservedGeneration, repo.Status.LastHandledReconcileAt = repo.Generation, requested
		return ctrl.Result{}, r.write(ctx, before, repo)
	}
	due, rest := r.due(h, repo, requested), time.Until(h.moved.Add(h.rest))
	resting := due && rest > 0 && h.generation == repo.Generation
	if due && !resting {
		h = r.look(ctx, repo, h)
		if ctx.Err() != nil {
			return ctrl.Result{}, nil
		}
		h.requested = requested
		r.keep(name, h)
	}
	r.report(ctx, before, repo, h)
	if err := r.write(ctx, before, repo); err != nil {
		return ctrl.Result{}, err
	}
	if resting {
		return ctrl.Result{RequeueAfter: rest}, nil
	}
	return ctrl.Result{RequeueAfter: max(time.Until(h.at.Add(pause(h, repo))), time.Millisecond)}, nil
}

// get reads a Repository from the cache, or as it was last written if the cache is behind.
func (r *Repositories) get(ctx context.Context, name types.NamespacedName) (*v1alpha1.Repository, error) {
	var repo v1alpha1.Repository
	if err := r.Client.Get(ctx, name, &repo); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if written := r.latest[name]; written != nil {
		if written.UID == repo.UID && record.Older(repo.ResourceVersion, written.ResourceVersion) {
			repo.Status = *written.Status.DeepCopy()
			repo.ResourceVersion = written.ResourceVersion
		} else {
			delete(r.latest, name)
		}
	}
	return &repo, nil
}

func (r *Repositories) write(ctx context.Context, before, repo *v1alpha1.Repository) error {
	if err := record.RepositoryStatus(ctx, r.Client, before, repo); err != nil {
		return err
	}
	if repo.ResourceVersion != before.ResourceVersion {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.latest[client.ObjectKeyFromObject(repo)] = repo.DeepCopy()
	}
	return nil
}

// due tells whether it is time to look at the remote.
func (r *Repositories) due(h head, repo *v1alpha1.Repository, requested string) bool {
	r.mu.Lock()
	wanted := r.wanted[client.ObjectKeyFromObject(repo)]
	r.mu.Unlock()
	return wanted || h.at.IsZero() || h.generation != repo.Generation || h.requested != requested ||
		time.Since(h.at) >= pause(h, repo)
}

// pause is the time between two looks: the interval, or less after a failure.
func pause(h head, repo *v1alpha1.Repository) time.Duration {
	interval := jittered(repo.Spec.Interval.Duration, string(repo.UID))
	if h.failures == 0 {
		return interval
	}
	return min(interval, time.Second<<min(h.failures, 8))
}

// look fetches once.
func (r *Repositories) look(ctx context.Context, repo *v1alpha1.Repository, h head) head {
	start := time.Now()
	name := client.ObjectKeyFromObject(repo)
	r.mu.Lock()
	delete(r.wanted, name)
	r.mu.Unlock()
	fetched, err := gitrepo.FetchRepository(ctx, r.dir(repo), repo, r.Live, r.AllowInsecure)
	r.Metrics.Fetched(time.Since(start), fetched.Changed, fetched.Bytes, err)
	h.at, h.generation, h.err = time.Now(), repo.Generation, err
	if err != nil {
		if h.failures++; h.failures == 1 && h.source.Revision.Commit == "" {
			r.keep(name, h)
			r.Moved(name) // the Overlays say why there is nothing to apply
		}
		log.FromContext(ctx).Info("fetch failed", "repository", name, "error", err.Error())
		return h
	}
	h.failures = 0
	moved := h.source.Revision != fetched.Revision
	h.source = sync.Source{Dir: r.dir(repo), Revision: fetched.Revision}
	r.keep(name, h)
	if moved {
		h = h.rested(h.at)
		r.keep(name, h)
		log.FromContext(ctx).Info("fetched", "repository", name, "revision", fetched.Revision.String(), "bytes", fetched.Bytes, "took", time.Since(start).String())
		r.Moved(name)
	}
	return h
}

// begin returns what is known of a Repository. Right after a start that is the revision in its
// status, if the mirror has it: the Overlays go on from there, also while the remote cannot be
// reached or the Repository is suspended.
func (r *Repositories) begin(repo *v1alpha1.Repository) head {
	name := client.ObjectKeyFromObject(repo)
	r.mu.Lock()
	h, known := r.heads[name]
	r.mu.Unlock()
	if known {
		return h
	}
	if repo.Status.Revision != "" && repo.Status.ObservedGeneration == repo.Generation {
		revision := agent.ParseRevision(repo.Status.Revision)
		if tree, err := gitrepo.OpenTree(r.dir(repo), revision.Commit); err == nil {
			_ = tree.Close() // it was only opened to see whether it is there
			h.source = sync.Source{Dir: r.dir(repo), Revision: revision}
		}
	}
	r.keep(name, h)
	if h.source.Revision.Commit != "" || repo.Spec.Suspend {
		r.Moved(name)
	}
	return h
}

// report writes what is known into the status.
func (r *Repositories) report(ctx context.Context, before, repo *v1alpha1.Repository, h head) {
	repo.Status.ObservedGeneration = repo.Generation
	repo.Status.LastHandledReconcileAt = h.requested
	if h.err != nil {
		reason := v1alpha1.FetchFailedReason
		if e, ok := errors.AsType[*gitrepo.Error](h.err); ok {
			reason = string(e.Kind)
		}
		v := sync.Verdict{Phase: sync.Failing, Reason: reason, Message: h.err.Error()}
		if reason == string(gitrepo.Invalid) { // the next look comes to the same
			v.Phase = sync.Stalled
		}
		if changed(before.Status.Conditions, v) {
			r.Events.Warning(repo, repo.Status.Revision, v.Reason, v.Message)
		}
		setConditions(&repo.Status.Conditions, repo.Generation, v)
	} else {
		repo.Status.Revision = h.source.Revision.String()
		if before.Status.Revision != repo.Status.Revision {
			r.Events.Normal(repo, repo.Status.Revision, "NewRevision", fmt.Sprintf("Fetched %s: %s", agent.Short(repo.Status.Revision), h.source.Revision.Subject))
		}
		setConditions(&repo.Status.Conditions, repo.Generation, sync.Verdict{Phase: sync.Ready, Reason: v1alpha1.SucceededReason,
			Message: "Fetched " + agent.Short(repo.Status.Revision)})
	}
	r.reportPullRequests(repo)
	if r.allReached(ctx, repo, h.source.Revision.String()) {
		repo.Status.SyncedRevision = h.source.Revision.String()
	}
	r.Metrics.Ready(v1alpha1.RepositoryKind, repo.Namespace, repo.Name, h.err == nil)
}

// reportPullRequests says whether people are met on pull requests.
func (r *Repositories) reportPullRequests(repo *v1alpha1.Repository) {
	reason, message, meets := r.PullRequests(client.ObjectKeyFromObject(repo))
	c := metav1.Condition{Type: v1alpha1.PullRequestsCondition, Status: metav1.ConditionTrue, ObservedGeneration: repo.Generation,
		Reason: v1alpha1.SucceededReason, Message: "Pull requests are planned and followed"}
	switch {
	case repo.Spec.PullRequests == nil:
		apimeta.RemoveStatusCondition(&repo.Status.Conditions, v1alpha1.PullRequestsCondition)
		return
	case !meets:
		return // not yet
	case message != "":
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, reason, cut(message)
	}
	apimeta.SetStatusCondition(&repo.Status.Conditions, c)
}

// allReached tells whether every Overlay of a Repository that is not suspended is Ready at a
// revision.
func (r *Repositories) allReached(ctx context.Context, repo *v1alpha1.Repository, revision string) bool {
	if revision == "" {
		return false
	}
	var overlays v1alpha1.OverlayList
	if err := r.Client.List(ctx, &overlays, client.MatchingFields{byRepository: client.ObjectKeyFromObject(repo).String()}, client.UnsafeDisableDeepCopy); err != nil { // they are only read
		return false
	}
	for n := range overlays.Items {
		o := &overlays.Items[n]
		if _, ready := r.Syncer.Reached(o, revision); !ready && !o.Spec.Suspend {
			return false
		}
	}
	return true
}

// gone forgets a deleted Repository, and removes the mirrors that belong to none.
func (r *Repositories) gone(ctx context.Context, name types.NamespacedName) {
	r.mu.Lock()
	delete(r.heads, name)
	delete(r.latest, name)
	delete(r.wanted, name)
	r.mu.Unlock()
	r.Metrics.Gone(v1alpha1.RepositoryKind, name.Namespace, name.Name)
	r.Moved(name)
	var all v1alpha1.RepositoryList
	if err := r.Client.List(ctx, &all); err != nil {
		return
	}
	used := map[string]bool{}
	for n := range all.Items {
		used[filepath.Base(r.dir(&all.Items[n]))] = true
	}
	entries, err := os.ReadDir(r.Dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !used[e.Name()] {
			if err := os.RemoveAll(filepath.Join(r.Dir, e.Name())); err != nil {
				log.FromContext(ctx).Error(err, "cannot remove the mirror of a deleted Repository")
			}
		}
	}
}

func (r *Repositories) keep(name types.NamespacedName, h head) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heads[name] = h
}

// dir is the directory of a mirror. A Repository that moves to another URL gets another one.
func (r *Repositories) dir(repo *v1alpha1.Repository) string {
	sum := sha256.Sum256([]byte(repo.Spec.URL))
	return filepath.Join(r.Dir, string(repo.UID)+"-"+hex.EncodeToString(sum[:4]))
}
