package main

import (
	"context"
	"fmt"
	"os"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/sync"
)

// fetch gets the newest commit of an Overlay's Repository into a mirror that is removed
// afterwards, as the agent would: from the same remote, with the same credentials.
func (p *planning) fetch(ctx context.Context, o *v1alpha1.Overlay) (sync.Source, func(), error) {
	var repo v1alpha1.Repository
	if err := p.client.Get(ctx, o.RepositoryName(), &repo); err != nil {
		return sync.Source{}, nil, explain(err, v1alpha1.RepositoryKind, o.RepositoryName())
	}
	dir, err := os.MkdirTemp("", "sluice-plan-")
	if err != nil {
		return sync.Source{}, nil, err
	}
	done := func() { _ = os.RemoveAll(dir) }
	fetched, err := gitrepo.FetchRepository(ctx, dir, &repo, p.client, p.allowInsecure)
	if err != nil {
		done()
		return sync.Source{}, nil, fmt.Errorf("Repository %s/%s cannot be fetched from here: %w; with --local DIR the plan is made from a work tree", repo.Namespace, repo.Name, err)
	}
	return sync.Source{Dir: dir, Revision: fetched.Revision}, done, nil
}
