package main

import (
	"context"
	"fmt"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// turnBack promotes a version that fails in production, shows who says so, and merges the revert
// that the agent proposes.
func (d *demo) turnBack(ctx context.Context) error {
	if err := d.propose(ctx, badVersion); err != nil {
		return err
	}
	fmt.Println()
	if _, err := d.push(ctx, "git fetch -q && "+merge(promotionBranch(badVersion))); err != nil {
		return err
	}
	if err := d.await(ctx, held(badVersion, goodVersion)); err != nil {
		return err
	}
	if err := d.checkTraffic(ctx, goodVersion); err != nil {
		return err
	}
	failed, err := d.failed(ctx)
	if err != nil {
		return err
	}
	fmt.Println()
	if err := d.tell(ctx, askWhy, showWrapped); err != nil {
		return err
	}
	fmt.Println()
	if err := d.tell(ctx, getPromotions, showCut); err != nil {
		return err
	}
	fmt.Println()
	say("%s had the traffic for %.1f s. Git still says %s, which is the one time that it and the cluster differ; so the agent proposes to have Git say %s again.",
		badVersion, failed.EndedAt.Sub(failed.LiveAt.Time).Seconds(), badVersion, goodVersion)
	fmt.Println()
	if _, err := d.push(ctx, "git fetch -q && "+merge(revertBranch(badVersion))); err != nil {
		return err
	}
	return d.await(ctx, serves("production", goodVersion))
}

// failed is the attempt that failed, when the agent has proposed to take it back.
func (d *demo) failed(ctx context.Context) (v1alpha1.PromotionStatus, error) {
	var status v1alpha1.PromotionStatus
	err := follow(ctx, d.client, &v1alpha1.PromotionList{}, func(p *v1alpha1.Promotion) bool {
		if !reverted(p) || p.Spec.Version != badVersion {
			return false
		}
		status = p.Status
		return true
	}, client.InNamespace(model))
	if err == nil && (status.Phase != v1alpha1.PromotionRolledBack || status.LiveAt == nil || status.EndedAt == nil) {
		err = fmt.Errorf("the promotion of %s is %s and should be %s, with the times at which it had traffic: %s", badVersion, status.Phase, v1alpha1.PromotionRolledBack, status.Message)
	}
	return status, err
}

// reverted tells whether the agent has proposed to take a version back.
func reverted(p *v1alpha1.Promotion) bool {
	return p.Status.Proposal != nil && p.Status.Proposal.Branch != "" && p.Status.Proposal.Commit != ""
}
