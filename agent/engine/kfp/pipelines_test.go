package kfp

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/e2e/kfp"
)

func TestDeliver(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	one := trainPackage(t)
	first, err := w.client.Deliver(t.Context(), namespace, "fraud train", one)
	if err != nil {
		t.Fatal(err)
	}
	if first.Name != one.Version || first.ID == "" || first.PipelineID == "" || !first.CreatedAt.Equal(w.clock.now()) {
		t.Errorf("%+v", first)
	}
	before := w.Count("POST", "")
	again, err := w.client.Deliver(t.Context(), namespace, "fraud train", one)
	if err != nil || again != first {
		t.Errorf("again: %+v and %v", again, err)
	}
	if n := w.Count("POST", ""); n != before {
		t.Errorf("delivering what is there wrote %d times", n-before)
	}
	described, err := w.client.describe(t.Context(), first)
	if err != nil || described.Digest != one.Digest || described.Parameters["data"].Type != "STRING" {
		t.Errorf("it is %+v and %v there", described, err)
	}
	w.clock.turn(time.Minute)
	second, err := w.client.Deliver(t.Context(), namespace, "fraud train", small(t, "other"))
	if err != nil || second.PipelineID != first.PipelineID || second.ID == first.ID {
		t.Errorf("another content: %+v and %v", second, err)
	}
	if described, err := w.client.describe(t.Context(), second); err != nil || described.Digest != small(t, "other").Digest {
		t.Errorf("without a platform it is %+v and %v there", described, err)
	}
	w.Misbehave(kfp.Only("GET", "/versions/", kfp.Body(200, `{"pipeline_spec":{"apiVersion":"argoproj.io/v1alpha1"}}`)))
	if _, err := w.client.describe(t.Context(), second); ReasonOf(err) != Invalid || !strings.Contains(err.Error(), "as KFP v1 compiles it") {
		t.Errorf("of the older kind: %v", err)
	}
	w.Misbehave(kfp.Only("GET", "/versions/", kfp.Body(200, `{}`)))
	if _, err := w.client.describe(t.Context(), second); err == nil {
		t.Error("there is nothing in it")
	}
	w.Misbehave(nil)
	p, err := w.client.FindPipeline(t.Context(), namespace, "fraud train")
	if err != nil || p.ID != first.PipelineID {
		t.Errorf("%+v and %v", p, err)
	}
	if newest, err := w.client.FindVersion(t.Context(), p, ""); err != nil || newest != second {
		t.Errorf("the newest is %+v and %v", newest, err)
	}
	if _, err := w.client.FindVersion(t.Context(), p, "v7"); ReasonOf(err) != Missing || !strings.Contains(err.Error(), "the pipeline fraud train of namespace fraud has no version v7") {
		t.Errorf("none: %v", err)
	}
	if _, err := w.client.FindPipeline(t.Context(), "elsewhere", "fraud train"); ReasonOf(err) != Missing {
		t.Errorf("elsewhere: %v", err)
	}
	if _, err := w.client.FindPipeline(t.Context(), namespace, "Fraud Train"); ReasonOf(err) != Missing || !strings.Contains(err.Error(), "differ in case only") {
		t.Errorf("another case: %v", err)
	}
	if _, err := w.client.Deliver(t.Context(), namespace, "Fraud Train", one); ReasonOf(err) != Taken || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("another case: %v", err)
	}
	for _, name := range []string{"", "a/b", "a%2Fb", "..", "a\nb", strings.Repeat("x", 129)} {
		if _, err := w.client.Deliver(t.Context(), namespace, name, one); ReasonOf(err) != Invalid {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Many agents deliver the same at the same time: there is one pipeline with one version.
func TestDeliverRace(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	var group sync.WaitGroup
	found := make([]Version, 32)
	clients := []*Client{w.client, newClient(t, w.Server)}
	for i := range found {
		group.Go(func() {
			v, err := clients[i%2].Deliver(t.Context(), namespace, "echo", small(t, "hello"))
			if err != nil {
				t.Error(err)
			}
			found[i] = v
		})
	}
	group.Wait()
	if len(slices.Compact(found)) != 1 {
		t.Errorf("%v", found)
	}
}

func TestDeliverWithFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		// fault of the first request of its kind.
		fault  kfp.Fault
		gone   bool
		reason Reason
		hangs  bool
	}{
		{"the answer is lost", kfp.Lost(), true, "", false},
		{"no answer", kfp.Stuck(), true, "", true},
		{"a proxy is impatient", kfp.Gateway(504), true, "", false},
		{"down", kfp.Down(), false, Unreachable, false},
		{"overloaded", kfp.Status(429), false, Overloaded, false},
		{"broken", kfp.Status(500), false, Broken, false},
	} {
		for _, path := range []string{"/pipelines", "/upload_version"} {
			t.Run(c.name+path, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, kfp.Options{})
				if c.hangs {
					w.client.timeout = hanging
				}
				w.Misbehave(kfp.Only("POST", path, kfp.First(1, c.fault)))
				v, err := w.client.Deliver(t.Context(), namespace, "echo", small(t, "hello"))
				if c.gone && err != nil || !c.gone && (ReasonOf(err) != c.reason || !Temporary(err)) {
					t.Fatalf("%+v and %v", v, err)
				}
				again, err := w.client.Deliver(t.Context(), namespace, "echo", small(t, "hello"))
				if err != nil || c.gone && again != v {
					t.Errorf("again: %+v and %v, before %+v", again, err, v)
				}
			})
		}
	}
}

// An upload that the account has no right to is refused without a reason, which is worth a guess.
func TestDeliverRefused(t *testing.T) {
	w := newWorld(t, kfp.Options{May: func(_, verb, _, _ string) bool { return verb != "create" }})
	_, err := w.client.Deliver(t.Context(), namespace, "echo", small(t, "hello"))
	if ReasonOf(err) != Forbidden || !strings.Contains(err.Error(), "Verb:create") {
		t.Errorf("a pipeline: %v", err)
	}
	allowed := true
	w = newWorld(t, kfp.Options{May: func(_, verb, _, _ string) bool { return verb != "create" || allowed }})
	if _, err := w.client.Deliver(t.Context(), namespace, "echo", small(t, "hello")); err != nil {
		t.Fatal(err)
	}
	allowed = false
	_, err = w.client.Deliver(t.Context(), namespace, "echo", small(t, "other"))
	if ReasonOf(err) != Forbidden || !strings.Contains(err.Error(), "give it the verb create for pipelines") {
		t.Errorf("a version: %v", err)
	}
	allowed = true
	old := small(t, "old")
	old.Spec = []byte(strings.Replace(string(old.Spec), "2.1.0", "2.0.0", 1))
	_, err = w.client.Deliver(t.Context(), namespace, "echo", old)
	if ReasonOf(err) != Invalid || !strings.Contains(err.Error(), "KFP only supports schema version 2.1.0") {
		t.Errorf("an older schema: %v", err)
	}
}

func TestPrune(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	var all []Version
	for i := range 6 {
		v, err := w.client.Deliver(t.Context(), namespace, "echo", small(t, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
		w.clock.turn(time.Second)
	}
	p, err := w.client.FindPipeline(t.Context(), namespace, "echo")
	if err != nil {
		t.Fatal(err)
	}
	theirs := small(t, "theirs")
	theirs.Version = "by hand"
	if err := w.client.uploadVersion(t.Context(), p, theirs); err != nil {
		t.Fatal(err)
	}
	gone, err := w.client.Prune(t.Context(), p, 2, []string{all[0].ID, all[5].ID})
	if err != nil || !slices.Equal(gone, []Version{all[2], all[1]}) {
		t.Errorf("%v and %v went of %v", gone, err, all)
	}
	for i, v := range all {
		_, err := w.client.FindVersion(t.Context(), p, v.Name)
		if kept := i != 1 && i != 2; kept != (err == nil) {
			t.Errorf("version %d: %v", i, err)
		}
	}
	if _, err := w.client.FindVersion(t.Context(), p, "by hand"); err != nil {
		t.Error(err)
	}
	if gone, err := w.client.Prune(t.Context(), p, 2, []string{all[0].ID, all[5].ID}); err != nil || len(gone) != 0 {
		t.Errorf("again: %v and %v", gone, err)
	}
	w.Misbehave(kfp.Only("DELETE", "", kfp.First(1, kfp.Status(500))))
	if gone, err := w.client.Prune(t.Context(), p, 0, nil); ReasonOf(err) != Broken || len(gone) != 0 {
		t.Errorf("with a fault: %v and %v", gone, err)
	}
	if gone, err := w.client.Prune(t.Context(), p, 0, nil); err != nil || len(gone) != 4 {
		t.Errorf("after it: %v and %v", gone, err)
	}
}

// A list of many pages is read to its end, and one without an end is not.
func TestPages(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	run := w.started(t, "r")
	for range 450 {
		w.Copy(run.ID)
	}
	state, err := w.client.State(t.Context(), run.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	if id := w.counts(t, "r"); id != state.ID {
		t.Errorf("%s counts, and %s is said to", id, state.ID)
	}
	pages := 0
	_, err = list(url.Values{}, func(url.Values) (page[int], error) {
		pages++
		return page[int]{[]int{pages}, "more"}, nil
	})
	if ReasonOf(err) != Broken || pages != maxPages {
		t.Errorf("%d pages, and %v", pages, err)
	}
	pages = 0
	_, err = list(url.Values{}, func(url.Values) (page[int], error) {
		pages++
		return page[int]{make([]int, maxPages*pageSize/2+1), "more"}, nil
	})
	if ReasonOf(err) != Broken || pages != 2 {
		t.Errorf("%d pages of more than was asked for, and %v", pages, err)
	}
}
