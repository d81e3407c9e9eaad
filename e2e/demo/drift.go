package main

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// drift changes an object behind Git's back and waits until it is put back, and until the
// event says so.
func (d *demo) drift(ctx context.Context) error {
	var before appsv1.Deployment
	if err := d.client.Get(ctx, client.ObjectKey{Namespace: team, Name: scorer}, &before); err != nil {
		return err
	}
	if _, err := d.sh(ctx, scaleByHand); err != nil {
		return err
	}
	d.board.restart()
	fmt.Println()
	var put time.Duration
	err := follow(ctx, d.client, &appsv1.DeploymentList{}, func(o *appsv1.Deployment) bool {
		put = time.Since(d.board.began)
		// Two generations on: once away from Git, and once back.
		return o.Name == scorer && *o.Spec.Replicas == *before.Spec.Replicas && o.Generation >= before.Generation+2
	}, client.InNamespace(team))
	if err != nil {
		return fmt.Errorf("Deployment %s/%s was not put back to %d replicas: %w", team, scorer, *before.Spec.Replicas, err)
	}
	var told string
	err = follow(ctx, d.client, &corev1.EventList{}, func(e *corev1.Event) bool {
		told = e.Message
		return e.Reason == v1alpha1.DriftCorrectedReason && e.InvolvedObject.Name == production
	}, client.InNamespace(namespace))
	if err != nil {
		return fmt.Errorf("no event %s of Overlay %s: %w", v1alpha1.DriftCorrectedReason, production, err)
	}
	say("Back to %d replicas, %.1f s after kubectl ended. The event of Overlay %s:", *before.Spec.Replicas, put.Seconds(), production)
	say("%s: %s", v1alpha1.DriftCorrectedReason, told)
	return d.overlays(ctx, func(*v1alpha1.Overlay) bool { return d.board.allReady() })
}
