package main

import (
	"context"
	"fmt"
	"os"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/controller"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/sync"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// fetch gets the newest commit of an Overlay's Repository into a mirror that is removed
// afterwards, as the agent would: from the same remote, with the same credentials.
func (p *planning) fetch(ctx context.Context, o *v1alpha1.Overlay) (sync.Source, func(), error) {
	var repo v1alpha1.Repository
	if err := p.client.Get(ctx, o.RepositoryName(), &repo); err != nil {
		return sync.Source{}, nil, explain(err, v1alpha1.RepositoryKind, o.RepositoryName())
	}
	remote, err := p.remote(ctx, &repo)
	if err != nil {
		return sync.Source{}, nil, err
	}
	dir, err := os.MkdirTemp("", "sluice-plan-")
	if err != nil {
		return sync.Source{}, nil, err
	}
	done := func() { _ = os.RemoveAll(dir) }
	fetched, err := fetchInto(ctx, dir, remote, &repo)
	if err != nil {
		done()
		return sync.Source{}, nil, fmt.Errorf("Repository %s/%s cannot be fetched from here: %w; with --local DIR the plan is made from a work tree", repo.Namespace, repo.Name, err)
	}
	return sync.Source{Dir: dir, Revision: fetched.Revision}, done, nil
}

func fetchInto(ctx context.Context, dir string, remote gitrepo.Remote, repo *v1alpha1.Repository) (gitrepo.Fetched, error) {
	mirror, err := gitrepo.Open(dir)
	if err != nil {
		return gitrepo.Fetched{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, repo.Spec.Timeout.Duration)
	defer cancel()
	return mirror.Fetch(ctx, remote, controller.Want(repo.Spec.Ref))
}

// remote reads the Secrets that a Repository names.
func (p *planning) remote(ctx context.Context, repo *v1alpha1.Repository) (gitrepo.Remote, error) {
	remote := gitrepo.Remote{URL: repo.Spec.URL}
	if err := gitrepo.CheckURL(repo.Spec.URL, true); err != nil {
		return remote, err
	}
	if gitrepo.CheckURL(repo.Spec.URL, false) != nil && !p.allowInsecure {
		return remote, fmt.Errorf("Repository %s/%s is at %s, which is not encrypted: allow that with --allow-insecure-git, or use --local DIR", repo.Namespace, repo.Name, repo.Spec.URL)
	}
	auth, err := p.secret(ctx, repo.Namespace, repo.Spec.SecretRef)
	if err == nil && auth != nil {
		remote.Auth, err = gitrepo.ReadAuth(auth, repo.Spec.URL)
	}
	if err != nil {
		return remote, err
	}
	proxy, err := p.secret(ctx, repo.Namespace, repo.Spec.ProxySecretRef)
	if err == nil && proxy != nil {
		remote.Proxy, err = gitrepo.ReadProxy(proxy)
	}
	return remote, err
}

// secret reads a Secret; none is asked for if there is no reference.
func (p *planning) secret(ctx context.Context, namespace string, ref *meta.LocalObjectReference) (map[string][]byte, error) {
	if ref == nil {
		return nil, nil
	}
	var secret corev1.Secret
	if err := p.client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, &secret); err != nil {
		return nil, fmt.Errorf("the credentials in Secret %s/%s cannot be read: %w; use --local DIR with a clone instead", namespace, ref.Name, err)
	}
	return secret.Data, nil
}
