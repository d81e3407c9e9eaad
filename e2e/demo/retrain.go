package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// retrain has the model trained again, and merges what the agent proposes then: first for staging, and
// when it has served there for production.
func (d *demo) retrain(ctx context.Context) error {
	for _, command := range []string{nextRuns, trainNow} {
		if err := d.tell(ctx, command, showWrapped); err != nil {
			return err
		}
		fmt.Println()
	}
	run, err := d.newest(ctx)
	if err != nil {
		return err
	}
	version := run.Status.Result.Version
	if err := d.tell(ctx, look(trainedBranch(version)), showCut); err != nil {
		return err
	}
	fmt.Println()
	if _, err := d.push(ctx, merge(trainedBranch(version))); err != nil {
		return err
	}
	if err := d.await(ctx, serves("staging", version), proposed(version)); err != nil {
		return err
	}
	fmt.Println()
	if _, err := d.push(ctx, "git fetch -q && "+merge(promotionBranch(version))); err != nil {
		return err
	}
	if err := d.await(ctx, serves("production", version)); err != nil {
		return err
	}
	if err := d.checkTraffic(ctx, version); err != nil {
		return err
	}
	took := time.Since(run.Spec.Slot.Time)
	fmt.Println()
	if err := d.tell(ctx, getRuns, showCut); err != nil {
		return err
	}
	fmt.Println()
	made := run.Status.Result.ModelVersion
	dataset, _, _ := strings.Cut(made.Lineage.Dataset, ", sha256:")
	say("%.0f s from the request to the version in production, with two merges by people. The training was real: %s, of which some were held out, and on those the AUC is %s.",
		took.Seconds(), dataset, made.Metrics["auc"])
	return nil
}

// newest is the run that was asked for last. It has a result, or it would not have succeeded.
func (d *demo) newest(ctx context.Context) (newest v1alpha1.RetrainingRun, err error) {
	var list v1alpha1.RetrainingRunList
	if err := d.client.List(ctx, &list, client.InNamespace(model)); err != nil {
		return newest, err
	}
	for _, r := range list.Items {
		if newest.Name == "" || newest.Spec.Slot.Before(&r.Spec.Slot) {
			newest = r
		}
	}
	if r := newest.Status.Result; r == nil || r.ModelVersion == nil || newest.Status.Proposal == nil {
		return newest, fmt.Errorf("the run %q proposes nothing: %s", newest.Name, newest.Status.Message)
	}
	return newest, nil
}
