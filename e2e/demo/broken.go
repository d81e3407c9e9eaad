package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// breakIt pushes a commit that cannot be rendered and shows who says so, and who does not.
func (d *demo) breakIt(ctx context.Context) error {
	commit, err := d.push(ctx, breakProduction, commitBroken)
	if err != nil {
		return err
	}
	var why *metav1.Condition
	disturbed := map[string]bool{}
	err = d.overlays(ctx, func(o *v1alpha1.Overlay) bool {
		if o.Name != production {
			disturbed[o.Name] = disturbed[o.Name] || !isReady(o)
			return false
		}
		why = ready(o)
		return why.Status == metav1.ConditionFalse && strings.HasSuffix(o.Status.AttemptedRevision, commit)
	})
	if err != nil {
		return fmt.Errorf("Overlay %s did not tell of commit %s: %w", production, commit, err)
	}
	fmt.Println()
	say("The Ready condition of Overlay %s, in full:", production)
	fmt.Println()
	for _, line := range wrap(why.Reason+": "+why.Message, width-5) {
		fmt.Println("     " + line)
	}
	fmt.Println()
	for name, was := range disturbed {
		if was {
			return fmt.Errorf("only Overlay %s is broken, and Overlay %s was not Ready all the time", production, name)
		}
	}
	settings, err := d.settings(ctx)
	if err != nil {
		return err
	}
	say("The other %d overlays are Ready as before, and the scorer in production runs on (SCORE_THRESHOLD=%s).",
		len(disturbed), settings.Data["SCORE_THRESHOLD"])
	return nil
}

// mend takes the broken commit back, and waits until the whole repository is there.
func (d *demo) mend(ctx context.Context) error {
	commit, err := d.push(ctx, revert)
	if err != nil {
		return err
	}
	if err := d.overlays(ctx, func(*v1alpha1.Overlay) bool { return d.board.allReady() }); err != nil {
		return err
	}
	took := time.Since(d.board.began)
	var synced string
	err = follow(ctx, d.client, &v1alpha1.RepositoryList{}, func(r *v1alpha1.Repository) bool {
		synced = r.Status.SyncedRevision
		return strings.HasSuffix(synced, commit)
	})
	if err != nil {
		return fmt.Errorf("the Repository's status.syncedRevision is %q and should end in %s: %w", synced, commit, err)
	}
	fmt.Println()
	say("Ready %.1f s after the push. Every overlay has come to %s.", took.Seconds(), synced)
	return nil
}

// summary lets kubectl have the last word.
func (d *demo) summary(ctx context.Context) error {
	for n, command := range []string{"kubectl get repositories,overlays -n " + namespace, "kubectl get models -A", "kubectl get retrainings -A"} {
		if n > 0 {
			fmt.Println()
		}
		if err := d.tell(ctx, command, show); err != nil {
			return err
		}
	}
	return nil
}
