package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// deploy gives the agent its orders and waits until all is as they say.
func (d *demo) deploy(ctx context.Context) error {
	if _, err := d.sh(ctx, "kubectl apply -k overlays/sluice"); err != nil {
		return err
	}
	d.board.restart()
	if err := d.overlays(ctx, func(*v1alpha1.Overlay) bool { return d.board.allReady() }); err != nil {
		return err
	}
	fmt.Println()
	say("%d overlays with %d objects are Ready, %.1f s after the apply.", len(d.board.overlays), d.board.objects(), time.Since(d.board.began).Seconds())
	return d.checkVariables(ctx)
}

// overlays shows every change of an Overlay until done says so.
func (d *demo) overlays(ctx context.Context, done func(*v1alpha1.Overlay) bool) error {
	return follow(ctx, d.client, &v1alpha1.OverlayList{}, func(o *v1alpha1.Overlay) bool {
		d.board.see(o)
		return done(o)
	}, client.InNamespace(namespace))
}

// checkVariables looks whether a shell script that is deployed kept its ${…}, while the
// object beside it that asks for it got values.
func (d *demo) checkVariables(ctx context.Context) error {
	const file = "overlays/pipelines/fraud-train/run.sh"
	written, err := os.ReadFile(filepath.Join(d.clone(), file))
	if err != nil {
		return err
	}
	var cron batchv1.CronJob
	if err := d.client.Get(ctx, client.ObjectKey{Namespace: "fraud-staging", Name: "fraud-train"}, &cron); err != nil {
		return err
	}
	var script corev1.ConfigMap
	volume := cron.Spec.JobTemplate.Spec.Template.Spec.Volumes[0].ConfigMap
	if err := d.client.Get(ctx, client.ObjectKey{Namespace: "fraud-staging", Name: volume.Name}, &script); err != nil {
		return err
	}
	if script.Data["run.sh"] != string(written) {
		return fmt.Errorf("ConfigMap fraud-staging/%s holds another run.sh than %s", script.Name, file)
	}
	if strings.Contains(cron.Spec.Schedule, "$") {
		return fmt.Errorf("CronJob fraud-staging/fraud-train has the schedule %q: its variables were not filled in", cron.Spec.Schedule)
	}
	say("The pipeline's script kept its shell variables, such as ${OUTPUT}. The CronJob asked for values by annotation and runs at %q in %s.",
		cron.Spec.Schedule, *cron.Spec.TimeZone)
	return nil
}
