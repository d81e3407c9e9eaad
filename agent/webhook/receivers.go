package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/shard"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
)

// Receivers are the Repositories that take hooks, with the secrets that they share with their forges. Each
// replica has all of them: a Service sends a hook to any. What a hook asks for is written on the
// Repository, where the replica sees it that works on that.
type Receivers struct {
	*Mailbox
	Client client.Client
	// Live reads Secrets past the cache.
	Live   client.Reader
	Events record.Events
	// Shares says which replica tells people what is wrong with a receiver.
	Shares *shard.Shares

	mu      sync.Mutex
	targets map[types.NamespacedName]Target
}

// tokenFor is how long a secret counts before it is read again: Secrets are not watched.
const tokenFor = time.Minute

// Setup registers what reads the secrets of Repositories.
func (r *Receivers) Setup(mgr ctrl.Manager) error {
	r.targets = map[types.NamespacedName]Target{}
	return ctrl.NewControllerManagedBy(mgr).Named("receiver").
		For(&v1alpha1.Repository{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).Complete(r)
}

// Lookup returns what hooks for a Repository are checked against.
func (r *Receivers) Lookup(_ context.Context, namespace, name string) (Target, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	target, known := r.targets[types.NamespacedName{Namespace: namespace, Name: name}]
	return target, known
}

// Reconcile reads the secret of one Repository.
func (r *Receivers) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var repo v1alpha1.Repository
	err := r.Client.Get(ctx, req.NamespacedName, &repo)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, err
	}
	if err != nil || repo.Spec.Receiver == nil {
		r.take(req.NamespacedName, nil)
		return ctrl.Result{}, nil
	}
	token, err := r.token(ctx, &repo)
	if err != nil {
		r.take(req.NamespacedName, nil)
		if _, done, mine := r.Shares.Hold(ctx, req.NamespacedName); mine {
			r.Events.Warning(&repo, repo.Status.Revision, "ReceiverFailed", "hooks are refused: "+err.Error())
			done()
		}
		return ctrl.Result{RequeueAfter: tokenFor}, nil
	}
	r.take(req.NamespacedName, &Target{URL: repo.Spec.URL, Token: token, Ref: Ref(repo.Spec.Ref)})
	return ctrl.Result{RequeueAfter: tokenFor}, nil
}

func (r *Receivers) take(name types.NamespacedName, target *Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if target == nil {
		delete(r.targets, name)
		return
	}
	r.targets[name] = *target
}

// token is the secret of a receiver.
func (r *Receivers) token(ctx context.Context, repo *v1alpha1.Repository) ([]byte, error) {
	name := repo.Spec.Receiver.SecretRef.Name
	var secret corev1.Secret
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: repo.Namespace, Name: name}, &secret)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("Secret %s, which spec.receiver.secretRef names, is not there: create it with the key token", name)
	case err != nil:
		return nil, fmt.Errorf("Secret %s cannot be read: %w", name, err)
	case len(secret.Data["token"]) == 0:
		return nil, fmt.Errorf("Secret %s has no key token: put the secret there that the forge signs its hooks with", name)
	}
	return secret.Data["token"], nil
}

// Deliver has Repositories looked at as hooks ask for it, until the context ends.
func (r *Receivers) Deliver(ctx context.Context) error {
	for {
		e, ok := r.Next(ctx)
		if !ok {
			return nil
		}
		now := time.Now().Format(time.RFC3339Nano)
		annotations := map[string]string{}
		if e.Fetch {
			annotations[meta.ReconcileRequestAnnotation] = now
		}
		if e.Pulls {
			annotations[v1alpha1.PullRequestsAnnotation] = now
		}
		r.annotate(ctx, e.Repository, annotations)
	}
}

// annotate asks for a look at a Repository or its pull requests, as people do.
func (r *Receivers) annotate(ctx context.Context, name types.NamespacedName, annotations map[string]string) {
	if len(annotations) == 0 {
		return
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		return // never: they are texts
	}
	repo := &v1alpha1.Repository{}
	repo.Namespace, repo.Name = name.Namespace, name.Name
	if err := r.Client.Patch(ctx, repo, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(v1alpha1.FieldManager)); client.IgnoreNotFound(err) != nil {
		log.FromContext(ctx).Info("a hook could not be passed on; what it tells of is seen at the next look", "repository", name, "error", err.Error())
	}
}
