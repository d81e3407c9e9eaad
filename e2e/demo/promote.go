package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// serve registers the versions, has the first one serve in both stages, and shows the file that
// says so.
func (d *demo) serve(ctx context.Context) error {
	for _, command := range []string{
		makeNamespaces, makeSecret, register(oldVersion, "0.861"), register(goodVersion, "0.872"), register(badVersion, "0.891"), commitVersions,
	} {
		if _, err := d.sh(ctx, command); err != nil {
			return err
		}
	}
	if err := d.awaitFetched(ctx); err != nil {
		return err
	}
	if _, err := d.sh(ctx, applyChurn); err != nil {
		return err
	}
	d.board.restart()
	fmt.Println()
	if err := d.await(ctx, serves("staging", oldVersion), serves("production", oldVersion)); err != nil {
		return err
	}
	if err := d.awaitVerified(ctx); err != nil {
		return err
	}
	fmt.Println()
	if err := d.tell(ctx, getVersions, showCut); err != nil {
		return err
	}
	fmt.Println()
	return d.tell(ctx, showStages, show)
}

// awaitFetched waits until the agent has what the clone has pushed.
func (d *demo) awaitFetched(ctx context.Context) error {
	commit, err := d.command(ctx, d.clone(), "git rev-parse HEAD")
	if err != nil {
		return err
	}
	return follow(ctx, d.client, &v1alpha1.RepositoryList{}, func(r *v1alpha1.Repository) bool {
		return strings.HasSuffix(r.Status.Revision, commit)
	})
}

// awaitVerified waits until the agent has read the artifact of each version.
func (d *demo) awaitVerified(ctx context.Context) error {
	verified := map[string]bool{}
	return follow(ctx, d.client, &v1alpha1.ModelVersionList{}, func(v *v1alpha1.ModelVersion) bool {
		verified[v.Spec.Version] = verified[v.Spec.Version] || apimeta.IsStatusConditionTrue(v.Status.Conditions, v1alpha1.ReadyCondition)
		return verified[oldVersion] && verified[goodVersion] && verified[badVersion]
	}, client.InNamespace(model))
}

// promote has a version serve in staging, and merges what the agent proposes then.
func (d *demo) promote(ctx context.Context) error {
	if err := d.propose(ctx, goodVersion); err != nil {
		return err
	}
	fmt.Println()
	if err := d.tell(ctx, look(promotionBranch(goodVersion)), show); err != nil {
		return err
	}
	fmt.Println()
	if _, err := d.push(ctx, merge(promotionBranch(goodVersion))); err != nil {
		return err
	}
	if err := d.await(ctx, tried(goodVersion)); err != nil {
		return err
	}
	fmt.Println()
	if err := d.tell(ctx, askWhy, showWrapped); err != nil {
		return err
	}
	fmt.Println()
	if err := d.await(ctx, serves("production", goodVersion)); err != nil {
		return err
	}
	took := time.Since(d.board.began)
	if err := d.checkTraffic(ctx, goodVersion); err != nil {
		return err
	}
	fmt.Println()
	if err := d.tell(ctx, getModels, show); err != nil {
		return err
	}
	fmt.Println()
	say("%s serves in production %.1f s after the merge. There is no gateway here that could give it a part of the traffic, so it got all at once, and %s stood by until the smoke test had passed.",
		goodVersion, took.Seconds(), oldVersion)
	return nil
}

// propose has a version serve in staging until the agent proposes it for production.
func (d *demo) propose(ctx context.Context, version string) error {
	if _, err := d.push(ctx, editStaging(version), commitStaging(version)); err != nil {
		return err
	}
	return d.await(ctx, serves("staging", version), proposed(version))
}
