package main

import (
	"context"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// narrate tells what becomes of the reader's changes until Ctrl-C.
func (d *demo) narrate(ctx context.Context) error {
	d.board.began = time.Time{}
	go func() { d.fail(d.corrections(ctx)) }()
	go func() { d.fail(d.models(ctx, func(*v1alpha1.Model) bool { return false })) }()
	go func() { d.fail(d.reverts(ctx)) }()
	go func() { d.fail(d.trainings(ctx)) }()
	return d.overlays(ctx, func(*v1alpha1.Overlay) bool { return false })
}

// reverts tells of branches that propose to have Git say again what serves.
func (d *demo) reverts(ctx context.Context) error {
	told := map[string]bool{}
	return follow(ctx, d.client, &v1alpha1.PromotionList{}, func(p *v1alpha1.Promotion) bool {
		if reverted(p) && !told[p.Name] {
			told[p.Name] = true
			line(d.board.stamp(), p.Spec.Model+" "+p.Spec.Stage, "Proposed", "back to "+p.Spec.From+" on branch "+p.Status.Proposal.Branch)
		}
		return false
	})
}

// trainings tells how far trainings are.
func (d *demo) trainings(ctx context.Context) error {
	told := map[string]v1alpha1.RunPhase{}
	return follow(ctx, d.client, &v1alpha1.RetrainingRunList{}, func(r *v1alpha1.RetrainingRun) bool {
		if phase := r.Status.Phase; phase != "" && phase != told[r.Name] {
			told[r.Name] = phase
			line(d.board.stamp(), r.Spec.Retraining+" training", string(phase), r.Status.Message)
		}
		return false
	})
}

// corrections tells of drift that was put back, which leaves an Overlay as Ready as it was.
func (d *demo) corrections(ctx context.Context) error {
	told := map[types.UID]int32{}
	return follow(ctx, d.client, &corev1.EventList{}, func(e *corev1.Event) bool {
		if e.Reason == v1alpha1.DriftCorrectedReason && told[e.UID] < e.Count {
			told[e.UID] = e.Count
			line(d.board.stamp(), e.InvolvedObject.Name, "Drift", e.Message)
		}
		return false
	}, client.InNamespace(namespace))
}
