package controller

import (
	"context"
	"fmt"
	gosync "sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/shard"
	"github.com/sluice-dev/sluice/agent/webhook"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// Hooks are the Repositories that take hooks, with the secrets that they share with their forges. Each
// replica has all of them: a Service sends a hook to any. What a hook asks for is written on the
// Repository, where the replica sees it that works on that.
type Hooks struct {
	*webhook.Mailbox
	Client client.Client
	// Live reads Secrets past the cache.
	Live   client.Reader
	Events record.Events
	// Shares says which replica tells people what is wrong with a receiver.
	Shares *shard.Shares

	mu      gosync.Mutex
	targets map[types.NamespacedName]webhook.Target
}

// tokenFor is how long a secret counts before it is read again: Secrets are not watched.
const tokenFor = time.Minute

// Lookup returns what hooks for a Repository are checked against.
func (h *Hooks) Lookup(_ context.Context, namespace, name string) (webhook.Target, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	target, known := h.targets[types.NamespacedName{Namespace: namespace, Name: name}]
	return target, known
}

// Reconcile reads the secret of one Repository.
func (h *Hooks) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var repo v1alpha1.Repository
	err := h.Client.Get(ctx, req.NamespacedName, &repo)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, err
	}
	if err != nil || repo.Spec.Receiver == nil {
		h.take(req.NamespacedName, nil)
		return ctrl.Result{}, nil
	}
	token, err := h.token(ctx, &repo)
	if err != nil {
		h.take(req.NamespacedName, nil)
		if _, done, mine := h.Shares.Hold(ctx, req.NamespacedName); mine {
			h.Events.Warning(&repo, repo.Status.Revision, "ReceiverFailed", "hooks are refused: "+err.Error())
			done()
		}
		return ctrl.Result{RequeueAfter: tokenFor}, nil
	}
	h.take(req.NamespacedName, &webhook.Target{URL: repo.Spec.URL, Token: token, Ref: webhook.Ref(repo.Spec.Ref)})
	return ctrl.Result{RequeueAfter: tokenFor}, nil
}

func (h *Hooks) take(name types.NamespacedName, target *webhook.Target) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if target == nil {
		delete(h.targets, name)
		return
	}
	h.targets[name] = *target
}

// token is the secret of a receiver.
func (h *Hooks) token(ctx context.Context, repo *v1alpha1.Repository) ([]byte, error) {
	name := repo.Spec.Receiver.SecretRef.Name
	var secret corev1.Secret
	err := h.Live.Get(ctx, client.ObjectKey{Namespace: repo.Namespace, Name: name}, &secret)
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
func (h *Hooks) Deliver(ctx context.Context) error {
	for {
		e, ok := h.Next(ctx)
		if !ok {
			return nil
		}
		if e.Fetch {
			h.look(ctx, e.Repository)
		}
	}
}

// look asks for a look at a Repository, as people do.
func (h *Hooks) look(ctx context.Context, name types.NamespacedName) {
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, time.Now().Format(time.RFC3339Nano))
	repo := &v1alpha1.Repository{}
	repo.Namespace, repo.Name = name.Namespace, name.Name
	if err := h.Client.Patch(ctx, repo, client.RawPatch(types.MergePatchType, []byte(patch)), client.FieldOwner(v1alpha1.FieldManager)); client.IgnoreNotFound(err) != nil {
		log.FromContext(ctx).Info("a hook could not be passed on; what it tells of is seen at the next look", "repository", name, "error", err.Error())
	}
}
