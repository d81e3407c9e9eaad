package promotion

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/sluice-dev/sluice/agent/rollout"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Artifacts looks at the artifacts of ModelVersions in the background: reading a large one takes
// minutes, for which nobody waits.
type Artifacts struct {
	Inspector *artifact.Inspector
	// Live reads Secrets and ConfigMaps past the cache.
	Live client.Reader
	// Parallel is how many artifacts are read at once, but for those that take long.
	Parallel int
	// Looked is called with a ModelVersion whose artifact was looked at.
	Looked func(*v1alpha1.ModelVersion)

	once  sync.Once
	seats chan struct{}
	long  chan struct{} // of those that take long
	mu    sync.Mutex
	looks map[types.UID]*look
}

// look is the last look at one artifact, or the one under way.
type look struct {
	begun    time.Time
	running  bool
	found    v1alpha1.ArtifactStatus
	err      error
	failures int // in a row that may pass by themselves
}

// Look returns what a look at the artifact that began at since or later has found. If there is
// none, one begins, and done is false; Looked tells when it has ended. What was found before spares
// the reading of what has not changed.
func (a *Artifacts) Look(v *v1alpha1.ModelVersion, since time.Time) (found v1alpha1.ArtifactStatus, err error, done bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.looks == nil {
		a.looks = map[types.UID]*look{}
	}
	known := a.looks[v.UID]
	if known != nil && since.After(time.Now()) {
		since = known.begun // the clocks differ: no look can begin in a time to come
	}
	switch {
	case known == nil:
		known = &look{}
		a.looks[v.UID] = known
	case known.running:
		return found, nil, false
	case known.err == nil && !known.begun.Before(since):
		return known.found, nil, true
	case known.err != nil && time.Since(known.begun) < known.pause() && (temporary(known.err) || !known.begun.Before(since)):
		return known.found, known.err, true // it is tried again later
	}
	known.running, known.begun = true, time.Now()
	before := v.Status.Artifact
	if known.found.Digest != "" {
		before = known.found.DeepCopy()
	}
	go a.run(v.DeepCopy(), before)
	return found, nil, false
}

// pause is the time after which a failed look is tried again. Where somebody has to do something,
// such as to upload what is missing or to give rights, nothing else tells that it was done.
func (l *look) pause() time.Duration {
	if temporary(l.err) {
		return backoff(l.failures)
	}
	return gateLook
}

// Again says when an artifact whose look failed may be looked at again; zero if it did not.
func (a *Artifacts) Again(v *v1alpha1.ModelVersion) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.looks[v.UID]
	if known == nil || known.running || known.err == nil {
		return time.Time{}
	}
	return known.begun.Add(known.pause())
}

// Forget drops what is remembered of a ModelVersion that is gone.
func (a *Artifacts) Forget(uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.looks, uid)
}

// readPatience is how long the reading of one artifact may take at most.
const readPatience = 6 * time.Hour

// seatTime is how long the reading of one artifact may keep others waiting. One that takes longer
// goes on beside them, as long as there are not too many: a store that is slow holds up those alone
// that it has artifacts of.
const (
	seatTime   = 10 * time.Second
	longAtOnce = 8 // times as many as there are seats
)

func (a *Artifacts) run(v *v1alpha1.ModelVersion, known *v1alpha1.ArtifactStatus) {
	a.once.Do(func() {
		a.seats = make(chan struct{}, max(a.Parallel, 1))
		a.long = make(chan struct{}, longAtOnce*max(a.Parallel, 1))
	})
	a.seats <- struct{}{}
	leave := sync.OnceFunc(func() { <-a.seats })
	ended := make(chan struct{})
	defer close(ended)
	defer time.AfterFunc(seatTime, func() {
		select {
		case a.long <- struct{}{}:
			leave()
			<-ended
			<-a.long
		case <-ended:
		}
	}).Stop()
	ctx, cancel := context.WithTimeout(context.Background(), readPatience)
	defer cancel()
	credentials, err := artifact.CredentialsOf(ctx, a.Live, v.Namespace, v.Spec.Artifact.SecretRef)
	var found v1alpha1.ArtifactStatus
	if err == nil {
		found, err = a.Inspector.Inspect(ctx, v.Spec.Artifact, credentials, known)
	}
	leave()
	a.mu.Lock()
	if l := a.looks[v.UID]; l != nil {
		l.running, l.found, l.err = false, found, err
		if l.failures++; !temporary(err) {
			l.failures = 0
		}
	}
	a.mu.Unlock()
	a.Looked(v)
}

// temporary tells whether the same look may go better later.
func temporary(err error) bool {
	var e interface{ Temporary() bool }
	return errors.As(err, &e) && e.Temporary()
}

// gateLook is how old a look at an artifact may be when its gates are passed at last.
const gateLook = 10 * time.Minute

// artifact says whether the version of a stage's Promotion is what it should be.
func (w *pass) artifact(ctx context.Context, s *stage) rollout.Artifact {
	version := s.newest.Spec.Version
	found, problem := w.versions.find(version)
	if found == nil {
		return rollout.Artifact{Message: problem}
	}
	since := s.newest.CreationTimestamp.Time
	if old := w.now.Add(-gateLook); since.Before(old) {
		since = old
	}
	status, err, done := w.Artifacts.Look(found, since)
	switch {
	case !done:
		return rollout.Artifact{Message: "the artifact of " + version + " is being looked at: " + found.Spec.Artifact.URI}
	case err != nil:
		w.look(w.Artifacts.Again(found))
		return rollout.Artifact{Message: "the artifact of " + version + ": " + err.Error()}
	}
	if was := w.servedDigest(version); was != "" && status.Digest != "" && was != status.Digest {
		return rollout.Artifact{Message: fmt.Sprintf("%s had the digest %s when it was promoted before, and has %s now: a version never changes; register another one", version, was, status.Digest)}
	}
	if ref := w.model.Spec.KeysSecretRef; ref != nil {
		keys, err := w.secret(ctx, w.model.Namespace, ref.Name)
		if err != nil {
			w.look(w.now.Add(secretRetry))
			return rollout.Artifact{Message: "spec.keysSecretRef: " + err.Error()}
		}
		if _, err := artifact.VerifySignature(status.Digest, found.Spec.Artifact.Signature, keys); err != nil {
			return rollout.Artifact{Message: "the artifact of " + version + ": " + err.Error()}
		}
	}
	return rollout.Artifact{Verified: true, Digest: status.Digest}
}

// servedDigest is the digest with which a version was promoted before, in any stage.
func (w *pass) servedDigest(version string) string {
	for _, of := range w.promotions {
		for _, p := range of {
			if p.Spec.Version == version && p.Status.Digest != "" {
				return p.Status.Digest
			}
		}
	}
	return ""
}

// secretRetry is the pause after a Secret was not there: Secrets are not watched.
const secretRetry = 15 * time.Second

// secret reads the data of a Secret.
func (p *Promoter) secret(ctx context.Context, namespace, name string) (map[string][]byte, error) {
	var secret corev1.Secret
	err := p.Live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("Secret %s/%s is not there: create it", namespace, name)
	}
	if err != nil {
		return nil, fmt.Errorf("Secret %s/%s cannot be read: %w", namespace, name, err)
	}
	return secret.Data, nil
}
