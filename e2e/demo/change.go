package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What the story, and the reader, change.
const (
	production = "models-production"
	team       = "fraud"
	scorer     = "fraud-scorer"

	editThreshold   = "sed -i s/SCORE_THRESHOLD=0.80/SCORE_THRESHOLD=0.85/ overlays/models/fraud/production/settings.env"
	commitThreshold = `git commit -qam "fraud: fewer false alarms" && git push -q`
	scaleByHand     = "kubectl -n " + team + " scale deployment " + scorer + " --replicas=5"
	breakProduction = `sed -i "s/^resources:/resources:\n- autoscaler.yaml/" overlays/models/fraud/production/kustomization.yaml`
	commitBroken    = `git commit -qam "fraud: scale with the load" && git push -q`
	revert          = "git revert --no-edit HEAD && git push -q"
)

// change pushes another threshold and follows it into the cluster: a new ConfigMap, a rollout,
// and the end of the old ConfigMap.
func (d *demo) change(ctx context.Context) error {
	before, err := d.settings(ctx)
	if err != nil {
		return err
	}
	commit, err := d.push(ctx, editThreshold, commitThreshold)
	if err != nil {
		return err
	}
	var applied time.Duration
	err = follow(ctx, d.client, &appsv1.DeploymentList{}, func(o *appsv1.Deployment) bool {
		applied = time.Since(d.board.began)
		return o.Name == scorer && settingsOf(o) != before.Name
	}, client.InNamespace(team))
	if err != nil {
		return err
	}
	if err := d.overlays(ctx, func(*v1alpha1.Overlay) bool { return d.isReadyAt(commit) }); err != nil {
		return err
	}
	healthy := time.Since(d.board.began)

	after, err := d.settings(ctx)
	if err != nil {
		return err
	}
	if after.Data["SCORE_THRESHOLD"] != "0.85" {
		return fmt.Errorf("ConfigMap %s/%s says SCORE_THRESHOLD=%s, not 0.85", team, after.Name, after.Data["SCORE_THRESHOLD"])
	}
	if err := d.client.Get(ctx, client.ObjectKeyFromObject(before), &corev1.ConfigMap{}); client.IgnoreNotFound(err) != nil || err == nil {
		return fmt.Errorf("ConfigMap %s/%s left Git and is still in the cluster (%v)", team, before.Name, err)
	}
	fmt.Println()
	say("In the cluster %.1f s after the push, rolled out and healthy after %.1f s: Deployment %s/%s runs with ConfigMap %s, where SCORE_THRESHOLD is %s. ConfigMap %s is pruned.",
		applied.Seconds(), healthy.Seconds(), team, scorer, after.Name, after.Data["SCORE_THRESHOLD"], before.Name)
	return nil
}

// push edits the clone, commits and pushes, and has the clock begin when that is done.
func (d *demo) push(ctx context.Context, commands ...string) (commit string, err error) {
	for _, command := range commands {
		if _, err := d.sh(ctx, command); err != nil {
			return "", err
		}
	}
	d.board.restart()
	fmt.Println()
	return d.command(ctx, d.clone(), "git rev-parse HEAD")
}

// isReadyAt tells whether production is Ready with what a commit changed.
func (d *demo) isReadyAt(commit string) bool {
	o := d.board.overlays[production]
	return o != nil && isReady(o) && strings.HasSuffix(o.Status.Revision, commit)
}

// settings is the ConfigMap that the scorer in production runs with.
func (d *demo) settings(ctx context.Context) (*corev1.ConfigMap, error) {
	var deployment appsv1.Deployment
	if err := d.client.Get(ctx, client.ObjectKey{Namespace: team, Name: scorer}, &deployment); err != nil {
		return nil, err
	}
	var settings corev1.ConfigMap
	return &settings, d.client.Get(ctx, client.ObjectKey{Namespace: team, Name: settingsOf(&deployment)}, &settings)
}

func settingsOf(o *appsv1.Deployment) string {
	return o.Spec.Template.Spec.Containers[0].EnvFrom[0].ConfigMapRef.Name
}
