package retraining_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/engine/pipelines"
	"github.com/sluice-dev/sluice/e2e/kfp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// every is the time between two slots of threeSlots.
const every = 4 * time.Second

// threeSlots is a schedule of three slots and no more, the first at a time.
func threeSlots(first time.Time) string {
	return fmt.Sprintf("schedules: [\"@every %s\"]\nstartAt: %s\nendAt: %s\n", every, first.Format(time.RFC3339), first.Add(2*every).Format(time.RFC3339))
}

// expectingSlots adds three Retrainings, each with a policy for missed slots and three slots from a time some seconds
// away, and waits until the agent knows of them. Settle is done then, and has to be done before the first of the slots;
// on a machine that is too slow for that, it is undone, and others have more time.
func (h *house) expectingSlots(spec string, settle func(names []string), undo func()) (names []string, first time.Time) {
	h.T.Helper()
	for margin := 10 * time.Second; ; margin *= 2 {
		first, names = base(margin), nil
		for _, missed := range []string{"Skip", "Latest", "All"} {
			name := fmt.Sprintf("%s-%d", strings.ToLower(missed), int(margin.Seconds()))
			h.retraining(name, "missed: "+missed+"\n"+threeSlots(first)+spec)
			names = append(names, name)
		}
		h.push("slots from " + first.String())
		for _, name := range names {
			h.Eventually("the slots of "+name+" are expected", func() (bool, string) {
				s := h.get(name).Status
				return len(s.Next) == 3 || s.HandledSlot != nil, fmt.Sprintf("%+v", s)
			})
		}
		settle(names)
		if time.Now().Before(first) {
			return names, first
		}
		for _, name := range names {
			delete(h.files, "models/"+name+".yaml")
		}
		if margin > time.Minute {
			h.T.Fatal("this machine is too slow")
		}
		h.T.Log("slots were due before all was settled: once more, with more time")
		undo()
	}
}

// passed waits until a time has passed.
func passed(at time.Time) { time.Sleep(time.Until(at.Add(time.Second))) }

// slotsOf are the slots of runs, as seconds after the first.
func slotsOf(runs []v1alpha1.RetrainingRun, first time.Time) (slots []int) {
	for _, r := range runs {
		slots = append(slots, int(r.Spec.Slot.Sub(first).Seconds()))
	}
	return slots
}

// kinds are what started runs.
func kinds(runs []v1alpha1.RetrainingRun) (all []v1alpha1.TriggerKind) {
	for _, r := range runs {
		all = append(all, r.Spec.Trigger.Kind)
	}
	return all
}

// skipped are the messages of the records of slots of which nothing was run.
func skipped(runs []v1alpha1.RetrainingRun) (messages []string) {
	for _, r := range runs {
		if r.Status.Phase == v1alpha1.RunSkipped {
			messages = append(messages, r.Status.Message)
		}
	}
	return messages
}

// oneByOne fails the test if runs went on at the same time, or not in the order of their slots.
func (h *house) oneByOne(runs []v1alpha1.RetrainingRun) {
	h.T.Helper()
	for n := range runs[:len(runs)-1] {
		if runs[n+1].Status.StartedAt.Before(runs[n].Status.EndedAt) {
			h.T.Errorf("%s began before %s had ended", runs[n+1].Name, runs[n].Name)
		}
	}
}

// The agent is down over three slots and comes back as the third is due: that one is on time, and the two before it are
// skipped, or run too.
func TestAgentIsDownOverThreeSlots(t *testing.T) {
	h := newHouse(t)
	h.train(h.writes("0.947"))
	h.files["models/anything.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: anything}\n"
	h.begin()
	names, first := h.expectingSlots(job+result, func([]string) { h.KillAgent() }, func() { h.StartAgent(flags...) })
	passed(first.Add(2 * every))
	h.StartAgent(flags...)

	for n, name := range names[:2] {
		policy := []string{"Skip", "Latest"}[n]
		runs := h.ended(name, 1)
		if got := slotsOf(runs, first); !slices.Equal(got, []int{8}) || runs[0].Spec.Trigger.Kind != v1alpha1.TriggerSchedule || runs[0].Status.Phase != v1alpha1.RunSucceeded {
			t.Errorf("%s: the slots %v were run: %s", policy, got, h.standing())
		}
		if why := strings.Join(skipped(h.runs(name)), "\n"); !contains(why, "not seen in time, and missed is "+policy) {
			t.Errorf("%s: what was skipped says: %s", policy, why)
		}
		if s := h.get(name).Status; s.Missed != 2 {
			t.Errorf("%s: %d slots were missed", policy, s.Missed)
		}
	}
	all := h.ended(names[2], 3)
	if got := slotsOf(all, first); !slices.Equal(got, []int{0, 4, 8}) {
		t.Errorf("All: the slots %v were run", got)
	}
	if got := kinds(all); got[0] != v1alpha1.TriggerMissed || got[1] != v1alpha1.TriggerMissed {
		t.Errorf("All: they were started by %v", got)
	}
	h.oneByOne(all)
	if s := h.get(names[2]).Status; s.Missed != 0 || len(s.Waiting) != 0 {
		t.Errorf("All: the status is %+v", s)
	}
}

// It is suspended over three slots: none is on time when it is resumed.
func TestSuspendedOverThreeSlots(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.train(h.writes("0.947"))
	h.files["models/anything.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: anything}\n"
	h.begin()
	suspended := func(suspended bool, names []string) {
		for _, name := range names {
			if text := h.files["models/"+name+".yaml"]; suspended {
				h.files["models/"+name+".yaml"] = text + "  suspend: true\n"
			} else {
				h.files["models/"+name+".yaml"] = strings.TrimSuffix(text, "  suspend: true\n")
			}
		}
		h.push(fmt.Sprintf("suspend %t", suspended))
		for _, name := range names {
			h.Eventually(fmt.Sprintf("that %s is suspended is seen to be %t", name, suspended), func() (bool, string) {
				s := h.get(name).Status
				return (s.SuspendedSince != nil) == suspended, fmt.Sprintf("%+v", s)
			})
		}
	}
	names, first := h.expectingSlots(job+result, func(names []string) { suspended(true, names) }, func() {})
	passed(first.Add(2 * every))
	suspended(false, names)

	latest := h.ended(names[1], 1)
	all := h.ended(names[2], 3)
	if got := slotsOf(latest, first); !slices.Equal(got, []int{8}) || latest[0].Spec.Trigger.Kind != v1alpha1.TriggerMissed {
		t.Errorf("Latest: the slots %v were run by %v", got, kinds(latest))
	}
	if got := slotsOf(all, first); !slices.Equal(got, []int{0, 4, 8}) || !slices.Equal(kinds(all), []v1alpha1.TriggerKind{v1alpha1.TriggerMissed, v1alpha1.TriggerMissed, v1alpha1.TriggerMissed}) {
		t.Errorf("All: the slots %v were run by %v", got, kinds(all))
	}
	h.oneByOne(all)
	if skip := h.runs(names[0]); len(begun(skip)) != 0 || !contains(strings.Join(skipped(skip), "\n"), "3 slots from", "suspended") {
		t.Errorf("Skip: %s", h.standing())
	}
	h.says(names[0], "Healthy", metav1.ConditionFalse, "was missed")
	for n, want := range []int64{3, 2, 0} {
		if got := h.get(names[n]).Status.Missed; got != want {
			t.Errorf("of %s %d slots were missed, want %d", names[n], got, want)
		}
		h.counted(names[n], want)
		if want > 0 {
			h.event(names[n], corev1.EventTypeWarning, "SlotMissed", fmt.Sprintf("%d slots from", want), "the Retraining was suspended")
		} else if slices.ContainsFunc(h.Events(v1alpha1.RetrainingKind, names[n]), func(e corev1.Event) bool { return e.Reason == "SlotMissed" }) {
			t.Errorf("of %s a slot is said to have been missed: %+v", names[n], h.Events(v1alpha1.RetrainingKind, names[n]))
		}
	}
	h.forget(names[0])
	h.measured(names[0], measures{})
}

// counted waits until so many slots of a Retraining are counted as missed.
func (h *house) counted(name string, missed int64) {
	h.T.Helper()
	h.Eventually(fmt.Sprintf("%d slots of %s are counted as missed", missed, name), func() (bool, string) {
		m := h.Metrics("namespace="+h.Namespace, "name="+name)
		return m["sluice_retraining_missed_slots_total"] == float64(missed), fmt.Sprint(m)
	})
}

// A slot comes while a run goes on: it is skipped, and the next one after the run has ended is not.
func TestForbid(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	goOn := make(chan struct{})
	h.train(func(t training) *made { <-goOn; return h.writes("0.947")(t) })
	h.retraining("fraud", "schedules: [\"@every 3s\"]\n"+job+result)
	h.begin()
	defer h.forget("fraud")
	var why string
	h.Eventually("a slot is skipped", func() (bool, string) {
		why = strings.Join(skipped(h.runs("fraud")), "\n")
		return why != "", h.standing()
	})
	runs := begun(h.runs("fraud"))
	if len(runs) != 1 || !contains(why, runs[0].Name+" was going on, and concurrencyPolicy is Forbid") {
		t.Errorf("it says %q: %s", why, h.standing())
	}
	close(goOn)
	h.Eventually("two have succeeded", func() (bool, string) { return h.get("fraud").Status.Streak >= 2, h.standing() })
	h.oneByOne(begun(h.runs("fraud"))[:2])
	// What is skipped for another run was not missed. On a machine that is slow, others may have been.
	late := slices.ContainsFunc(skipped(h.runs("fraud")), func(why string) bool { return !strings.Contains(why, "concurrencyPolicy is Forbid") })
	if s := h.get("fraud").Status; s.Missed != 0 && !late {
		t.Errorf("%d slots are said to have been missed", s.Missed)
	}
}

// A slot comes while a run goes on: that one makes room, and is really over before its Job is gone.
func TestReplace(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.train(func(t training) *made {
		if t.number == 1 {
			return nil
		}
		return h.writes("0.947")(t)
	})
	h.retraining("fraud", "schedules: [\"@every 4s\"]\nconcurrencyPolicy: Replace\n"+job+result)
	h.begin()
	defer h.forget("fraud")
	r := h.run("fraud", "is replaced", func(r v1alpha1.RetrainingRun) bool { return r.Status.Phase == v1alpha1.RunCanceled })
	if !contains(r.Status.Message, "the slot", "came") || len(h.jobs(r.Name)) != 0 {
		t.Errorf("%s says %q, and its Jobs are %q", r.Name, r.Status.Message, h.jobs(r.Name))
	}
	h.run("fraud", "succeeds in its place", func(r v1alpha1.RetrainingRun) bool { return r.Status.Phase == v1alpha1.RunSucceeded })
}

// forget deletes a Retraining that would go on for ever.
func (h *house) forget(name string) {
	h.T.Helper()
	delete(h.files, "models/"+name+".yaml")
	h.files["models/anything.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: anything}\n"
	h.push("no more " + name)
	h.Eventually(name+" is gone", func() (bool, string) { return h.get(name).Name == "", h.standing() })
}

// drill is a kind whose definition comes and goes.
const drill = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: drills.example.org}
spec:
  group: example.org
  names: {kind: Drill, listKind: DrillList, plural: drills, singular: drill}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

// The kind of an engine is gone over two slots, and comes back: each slot is run once, one after the other.
func TestEngineIsGoneOverTwoSlots(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	first := base(20 * time.Second)
	h.must(h.Cluster.Define(t.Context(), drill))
	h.retraining("fraud", fmt.Sprintf("schedules: [\"@every 4s\"]\nmissed: All\nstartAt: %s\nendAt: %s\n", first.Format(time.RFC3339), first.Add(every).Format(time.RFC3339))+
		"run: {object: {apiVersion: example.org/v1, kind: Drill, template: {spec: {}}, succeeded: object.status.done, failed: 'false'}}\n")
	h.begin()

	// It works, and then its engine is uninstalled.
	h.ask("fraud")
	r := h.run("fraud", "is started", func(r v1alpha1.RetrainingRun) bool {
		return len(r.Status.Attempts) == 1 && r.Status.Attempts[0].ID != ""
	})
	h.done(r)
	h.run("fraud", "succeeds", func(r v1alpha1.RetrainingRun) bool { return r.Status.Phase == v1alpha1.RunSucceeded })
	h.must(h.Client.Delete(t.Context(), &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "drills.example.org"}}))
	h.Eventually("the kind is gone", func() (bool, string) {
		err := h.Client.Get(t.Context(), client.ObjectKey{Name: "drills.example.org"}, &apiextensionsv1.CustomResourceDefinition{})
		return client.IgnoreNotFound(err) == nil && err != nil, fmt.Sprint(err)
	})
	if time.Now().After(first) {
		t.Log("the machine is slow: a slot was due before the kind was gone")
	}
	passed(first.Add(every))
	h.Eventually("it waits for the engine", func() (bool, string) {
		s := h.get("fraud").Status
		return len(s.Active) == 1 && contains(h.standing(), "it cannot begin yet", "does not know the kind Drill"), h.standing()
	})

	// It is installed again.
	h.must(h.Cluster.Define(t.Context(), drill))
	for n := range 2 {
		r := h.run("fraud", "is started", func(r v1alpha1.RetrainingRun) bool {
			return !r.Status.Phase.Ended() && len(r.Status.Attempts) == 1 && r.Status.Attempts[0].ID != ""
		})
		if got := int(r.Spec.Slot.Sub(first).Seconds()); got != 4*n {
			t.Errorf("the slot %d is run as number %d", got, n+1)
		}
		h.done(r)
		h.Eventually("it has succeeded", func() (bool, string) {
			return h.get("fraud").Status.LastRun == r.Name, h.standing()
		})
	}
	runs := h.ended("fraud", 3)
	h.oneByOne(runs)
	if s := h.get("fraud").Status; s.Streak != 3 || s.Missed != 0 {
		t.Errorf("the status is %+v", s)
	}
}

// done has the object of a run say that it is over.
func (h *house) done(r v1alpha1.RetrainingRun) {
	h.T.Helper()
	o := &unstructured.Unstructured{}
	o.SetAPIVersion("example.org/v1")
	o.SetKind("Drill")
	o.SetNamespace(h.Namespace)
	o.SetName(r.Status.Attempts[0].Name)
	h.Update(o, func() { o.Object["status"] = map[string]any{"done": true} })
}

// Kubeflow Pipelines answers 503 over two slots, and comes back: the newer slot is run, once.
func TestKubeflowPipelinesIsAwayOverTwoSlots(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.pipelines(kfp.Options{Walk: &kfp.Walk{Pending: time.Second, Running: time.Second}})
	h.retraining("warm", piped)
	h.begin()
	h.ask("warm")
	h.ends("warm", v1alpha1.RunSucceeded)

	s.Misbehave(kfp.Status(http.StatusServiceUnavailable))
	first := base(3 * time.Second)
	h.retraining("fraud", fmt.Sprintf("schedules: [\"@every 4s\"]\nstartAt: %s\nendAt: %s\n", first.Format(time.RFC3339), first.Add(2*every).Format(time.RFC3339))+piped)
	h.push("fraud")
	passed(first.Add(2 * every))
	h.run("fraud", "waits for Kubeflow Pipelines", func(r v1alpha1.RetrainingRun) bool {
		return r.Status.Phase == v1alpha1.RunPending && contains(r.Status.Message, "503")
	})
	s.Misbehave(nil)
	runs := h.ended("fraud", 1)
	if got := slotsOf(runs, first); !slices.Equal(got, []int{8}) || runs[0].Status.Phase != v1alpha1.RunSucceeded {
		t.Errorf("the slots %v were run: %s", got, h.standing())
	}
	if ids := s.Made(pipelines.RunName(runs[0].Status.Attempts[0].Name, runs[0].UID)); len(ids) != 1 {
		t.Errorf("there are the runs %q", ids)
	}
}
