package bench_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// retrainings are Retrainings of Jobs. Nearly all of them wait for a slot that is days away.
type retrainings struct {
	*stage
	count int
}

// perSchedule is how many Retrainings an Overlay has.
const perSchedule = 50

// newRetrainings has the agent run, and the Retrainings in Git.
func newRetrainings(t *testing.T, count int) *retrainings {
	t.Helper()
	content := files{}
	for first := 0; first < count; first += perSchedule {
		list := "resources:\n"
		for n := first; n < min(first+perSchedule, count); n++ {
			list += "- " + retrainingName(n) + ".yaml\n"
			content[overlayName(n/perSchedule)+"/"+retrainingName(n)+".yaml"] = retrainingText(n, fmt.Sprintf("%d %d 1 1 *", n%60, n/60%24), "")
		}
		content[overlayName(first/perSchedule)+"/kustomization.yaml"] = list
	}
	r := &retrainings{newStage(t, cluster.Options{Nodes: 1}, content), count}
	for o := range (count + perSchedule - 1) / perSchedule {
		r.overlay(overlayName(o), overlayName(o))
	}
	return r
}

func retrainingName(n int) string { return fmt.Sprintf("r%04d", n) }

// retrainingText is a Retraining with a schedule, and further fields of its spec.
func retrainingText(n int, schedule, more string) string {
	return fmt.Sprintf(`apiVersion: sluice.dev/v1alpha1
kind: Retraining
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  model: %[1]s
  schedules: [%[3]q]
  %[4]s
  concurrencyPolicy: Allow
  run:
    job:
      spec:
        template:
          spec:
            restartPolicy: Never
            containers:
            - {name: train, image: "registry.example.com/train:1", args: ['{{ .Slot.Format "2006-01-02" }}', "{{ .Run }}"]}
`, retrainingName(n), apps, schedule, more)
}

// answered waits until the agent has said something of every Retraining. It watches, as await does.
func (r *retrainings) answered() {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ready := map[string]bool{}
	for len(ready) < r.count {
		watch, err := r.Client.Watch(ctx, &v1alpha1.RetrainingList{}, client.InNamespace(apps))
		if err != nil {
			r.T.Fatalf("%d of %d Retrainings are answered: %v", len(ready), r.count, err)
		}
		for event := range watch.ResultChan() {
			if o, is := event.Object.(*v1alpha1.Retraining); is && o.Status.ObservedGeneration == o.Generation && len(o.Status.Next) > 0 {
				ready[o.Name] = true
			}
			if len(ready) == r.count {
				break
			}
		}
		watch.Stop()
	}
}

// schedule has the Retrainings apply, from nothing.
func (r *retrainings) schedule() Result {
	r.T.Helper()
	m := r.begin()
	r.create()
	r.answered()
	return m.end()
}

// starts has so many Retrainings be due in the same second, several times, and says how long after its slot the
// Job of each was there. The first slot comes after lead: they have to get their schedules before.
func (r *retrainings) starts(due, times int, lead time.Duration) Result {
	r.T.Helper()
	const every = 20 * time.Second // a run is over by then
	start := time.Now().Add(lead).UTC().Truncate(time.Second)
	last := start.Add(time.Duration(times-1)*every + every/2)
	changed := files{}
	for n := range due {
		changed[overlayName(n/perSchedule)+"/"+retrainingName(n)+".yaml"] = retrainingText(n, "@every "+every.String(), fmt.Sprintf("startAt: %s\n  endAt: %s", start.Format(time.RFC3339), last.Format(time.RFC3339)))
	}
	revision := r.push("many at once", changed)
	r.notify()
	r.awaitSynced(revision)
	if time.Now().After(start) {
		r.T.Fatalf("%d Retrainings have got their schedules only after the first slot: this machine is too slow for it", due)
	}
	return r.late(due*times, func(job string) time.Time { return slotOf(r.T, job, start) })
}

// cronJobs has so many CronJobs be due in the same second, which Kubernetes itself starts: what starts says of
// Retrainings, of them.
func (r *retrainings) cronJobs(due int) Result {
	r.T.Helper()
	slot := time.Now().Add(80 * time.Second).UTC().Truncate(time.Minute)
	for n := range due {
		o := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: apps, Name: fmt.Sprintf("cron-%d", n)}}
		o.Spec.Schedule = fmt.Sprintf("%d %d * * *", slot.Minute(), slot.Hour())
		o.Spec.JobTemplate.Spec.Template.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "train", Image: "registry.example.com/train:1"}}}
		r.Create(o)
	}
	return r.late(due, func(string) time.Time { return slot })
}

// late measures while so many Jobs come, and how long after their slots they do: Live is the median, and Converged the
// worst.
func (r *retrainings) late(jobs int, slot func(job string) time.Time) Result {
	r.T.Helper()
	m := r.begin()
	late := r.lateness(jobs, slot)
	m.converged = time.Now()
	result := m.end()
	slices.Sort(late)
	result.Repeats, result.Live, result.Converged = len(late), late[len(late)/2].Seconds(), late[len(late)-1].Seconds()
	return result
}

// lateness is how long after their slots so many Jobs were there.
func (r *retrainings) lateness(jobs int, slot func(job string) time.Time) []time.Duration {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var there batchv1.JobList
	if err := r.Client.List(ctx, &there, client.InNamespace(apps)); err != nil {
		r.T.Fatal(err)
	}
	watch, err := r.Client.Watch(ctx, &batchv1.JobList{}, client.InNamespace(apps), &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: there.ResourceVersion}})
	if err != nil {
		r.T.Fatal(err)
	}
	defer watch.Stop()
	var late []time.Duration
	for event := range watch.ResultChan() {
		job, is := event.Object.(*batchv1.Job)
		if !is || event.Type != "ADDED" {
			continue
		}
		if late = append(late, time.Since(slot(job.Name))); len(late) == jobs {
			return late
		}
	}
	r.T.Fatalf("%d of %d Jobs have come", len(late), jobs)
	return nil
}

// slotOf reads the slot from the name of a Job: r0001-20261125-210005-1, or without seconds for a whole minute.
func slotOf(t testing.TB, job string, start time.Time) time.Time {
	t.Helper()
	parts := strings.Split(job, "-")
	stamp := parts[1] + parts[2]
	at, err := time.Parse("20060102150405"[:len(stamp)], stamp)
	if err != nil || at.Before(start) {
		t.Fatalf("%s is no Job of a slot since %s: %v", job, start, err)
	}
	return at
}

// retrainings are at rest, and then some of them start. The quiet is long enough for what the start has left in
// memory to be cleared away.
func (b *bench) retrainings(count int) {
	r := newRetrainings(b.T, count)
	b.add("first apply", r.schedule())
	b.add("restart", r.restart())
	b.add("150 s of quiet", r.quiet(150*time.Second))
	b.add("1 starts", r.starts(1, 6, 20*time.Second))
	b.add("100 start in one second", r.starts(100, 6, 20*time.Second))
	b.add("100 CronJobs, for comparison", r.cronJobs(100))
}

// What is promised of counts for Retrainings, in small.
func TestRetrainingCounts(t *testing.T) {
	r := newRetrainings(t, 100)
	// Each is applied, and its status is written once: what was decided, with what is said of it.
	expect(t, "first apply", r.schedule(), 0, limits{calls: 100*3 + 60, status: 125, writes: 110, renders: 2})
	expect(t, "quiet", r.quiet(5*time.Second), 0, limits{})
	expect(t, "a restart", r.restart(), 0, limits{calls: 15, kept: 2})
	// A run is a record and a Job, with the status of both and of the Retraining, and the events.
	expect(t, "10 start in one second", r.starts(10, 1, time.Minute), 10, limits{calls: 10 * 18, status: 10 * 8, writes: 40, renders: 1, kept: 1})
	var runs v1alpha1.RetrainingRunList
	if err := r.Client.List(context.Background(), &runs, client.InNamespace(apps)); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, run := range runs.Items {
		names[run.Name] = true
		if len(run.Status.Attempts) > 1 || metav1.GetControllerOf(&run) == nil {
			t.Errorf("%s has %d attempts", run.Name, len(run.Status.Attempts))
		}
	}
	var jobs batchv1.JobList
	if err := r.Client.List(context.Background(), &jobs, client.InNamespace(apps)); err != nil {
		t.Fatal(err)
	}
	for _, job := range jobs.Items {
		if owner := metav1.GetControllerOf(&job); owner == nil || !names[owner.Name] {
			t.Errorf("%s is the Job of no run", job.Name)
		}
	}
}
