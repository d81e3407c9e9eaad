package retrain

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/sluice-dev/sluice/agent/engine"
	"github.com/sluice-dev/sluice/agent/fill"
	"github.com/sluice-dev/sluice/agent/gate"
	"github.com/sluice-dev/sluice/agent/schedule"
)

// Check says what is wrong with a Retraining that no run can make good: schedules, time zone, templates,
// expressions, or what the object of a run would be.
func Check(r *v1alpha1.Retraining) error {
	if _, err := schedule.ParseCalendar(r.Spec, r.CreationTimestamp.Time); err != nil {
		return fmt.Errorf("spec.schedules: %w", err)
	}
	if _, err := documentOf(r.Spec.Run); err != nil {
		return fmt.Errorf("spec.run: %w", err)
	}
	if r.Spec.Result != nil {
		if err := checkResult(*r.Spec.Result); err != nil {
			return err
		}
	}
	if t := r.Spec.Triggers; t != nil && t.Data != nil {
		if err := artifact.Check(t.Data.URI); err != nil {
			return fmt.Errorf("spec.triggers.data: %w", err)
		}
	}
	if r.Spec.Run.KFP != nil {
		return checkKFP(r.Namespace, *r.Spec.Run.KFP)
	}
	_, err := engine.Build(engine.Run{Namespace: r.Namespace, Record: r.Name, Retraining: r.Name, Name: "check-1", Template: r.Spec.Run})
	return err
}

func checkResult(spec v1alpha1.ResultSpec) error {
	if _, err := documentOf(spec); err != nil {
		return fmt.Errorf("spec.result: %w", err)
	}
	if p := spec.Propose; p != nil && strings.Contains(p.Stage+p.Branch, "{{") {
		return errors.New("spec.result.propose: stage and branch are no templates: write their names")
	}
	if spec.OnlyIfBetter != "" {
		if err := gate.Validate(v1alpha1.Gate{Name: "only-if-better", CEL: spec.OnlyIfBetter}); err != nil {
			return fmt.Errorf("spec.result.onlyIfBetter: %w", err)
		}
	}
	return nil
}

// checkKFP refuses a run in the namespace of somebody else: the agent would lend its account there.
func checkKFP(namespace string, run v1alpha1.KFPRun) error {
	if run.Namespace != "" && run.Namespace != namespace {
		return fmt.Errorf("spec.run.kfp.namespace: a run is in the namespace of its Retraining, %s: leave it out, or make the Retraining in %s", namespace, run.Namespace)
	}
	return nil
}

// documentOf is what can be filled in, as JSON.
func documentOf(what any) (fill.Document, error) {
	raw, err := json.Marshal(what)
	if err != nil {
		return fill.Document{}, err
	}
	return fill.ParseJSON(raw)
}

// filled is a part of a spec with its texts filled in.
func filled[T any](what T, v fill.Values) (T, error) {
	var to T
	d, err := documentOf(what)
	if err != nil {
		return to, err
	}
	raw, err := d.Fill(v)
	if err != nil {
		return to, err
	}
	return to, json.Unmarshal(raw, &to)
}
