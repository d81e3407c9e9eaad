package report

import (
	"strings"
	"testing"
	"time"
)

func fullMerge(s string) Merge {
	return Merge{
		Overlays: []Applied{{Overlay: s, State: Pending, Message: s}, {Overlay: s, State: Failure, Message: s}},
		Models:   []Promoted{{Model: s, Stage: s, Version: s, State: Pending, Message: s}, {Model: s, Stage: s, Version: s, State: Success}},
	}
}

func TestClosing(t *testing.T) {
	shop := Applied{Overlay: "shop", State: Success, Took: 3200 * time.Millisecond}
	docs := Applied{Overlay: "docs", State: Pending, Message: "2 of 3 objects are ready"}
	bad := Applied{Overlay: "jobs", State: Failure, Message: "Deployment/shop/web is refused: spec.replica is no field"}
	v8 := Promoted{Model: "fraud", Stage: "production", Version: "v8", State: Pending, Traffic: 10, Message: "step 1 of 2, at least until 12:41:17 UTC"}
	serves := Promoted{Model: "fraud", Stage: "production", Version: "v8", State: Success}
	failed := Promoted{Model: "fraud", Stage: "production", Version: "v8", State: Failure, Message: "errors: errors is 0.04, and at most 0.01 is allowed; v7 serves"}
	for _, c := range []struct {
		merge    Merge
		want     string
		statuses []Status
	}{
		{Merge{Overlays: []Applied{shop}}, "**Live in 3 s**\n\n- overlay `shop`: live in 3 s\n",
			[]Status{{"sluice/shop", Success, "live in 3 s"}}},
		{Merge{Overlays: []Applied{shop}, Models: []Promoted{v8}},
			"**Live in 3 s; v8 at 10 %**\n\n- overlay `shop`: live in 3 s\n- model `fraud`, production: v8 at 10 %: step 1 of 2, at least until 12:41:17 UTC\n",
			[]Status{{"sluice/shop", Success, "live in 3 s"}, {"sluice/fraud-production", Pending, "v8 at 10 %: step 1 of 2, at least until 12:41:17 UTC"}}},
		{Merge{Overlays: []Applied{shop}, Models: []Promoted{serves}},
			"**v8 serves production**\n\n- overlay `shop`: live in 3 s\n- model `fraud`, production: v8 serves production\n",
			[]Status{{"sluice/shop", Success, "live in 3 s"}, {"sluice/fraud-production", Success, "v8 serves production"}}},
		{Merge{Models: []Promoted{failed}},
			"**v8 does not serve production**\n\n- model `fraud`, production: v8 does not serve production: errors: errors is 0.04, and at most 0.01 is allowed; v7 serves\n",
			[]Status{{"sluice/fraud-production", Failure, "v8 does not serve production: errors: errors is 0.04, and at most 0.01 is allowed; v7 serves"}}},
		{Merge{Overlays: []Applied{shop, docs}}, "**1 of 2 overlays is live**\n\n- overlay `shop`: live in 3 s\n- overlay `docs`: being applied: 2 of 3 objects are ready\n",
			[]Status{{"sluice/shop", Success, "live in 3 s"}, {"sluice/docs", Pending, "being applied: 2 of 3 objects are ready"}}},
		{Merge{Overlays: []Applied{shop, bad}, Models: []Promoted{serves}},
			"**1 of 2 overlays is not live; v8 serves production**\n\n- overlay `shop`: live in 3 s\n- overlay `jobs`: not live: Deployment/shop/web is refused: `spec.replica` is no field\n- model `fraud`, production: v8 serves production\n",
			nil},
		{Merge{Models: []Promoted{v8, {Model: "churn", Stage: "staging", State: Success}}},
			"**fraud: v8 at 10 %; churn: nothing serves staging**\n\n- model `fraud`, production: v8 at 10 %: step 1 of 2, at least until 12:41:17 UTC\n- model `churn`, staging: nothing serves staging\n", nil},
		{Merge{}, "**Nothing to apply**\n\n", nil},
	} {
		if got := Closing(c.merge); got != c.want {
			t.Errorf("it says\n%s, want\n%s", got, c.want)
		}
		if want, _, _ := strings.Cut(strings.TrimPrefix(c.want, "**"), "**"); c.merge.Summary() != want {
			t.Errorf("the summary is %q, want %q", c.merge.Summary(), want)
		}
		if c.statuses == nil {
			continue
		}
		got := c.merge.Statuses()
		if len(got) != len(c.statuses) {
			t.Fatalf("there are %d statuses: %v", len(got), got)
		}
		for n, want := range c.statuses {
			if got[n] != want {
				t.Errorf("the status is %v, want %v", got[n], want)
			}
		}
	}
}

func TestLasting(t *testing.T) {
	for d, want := range map[time.Duration]string{-1: "0.0 s", 412 * time.Millisecond: "0.4 s", 3900 * time.Millisecond: "3 s", 72 * time.Second: "1m12s", 2 * time.Hour: "2h"} {
		if got := lasting(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

func TestManyRows(t *testing.T) {
	var m Merge
	for range 5000 {
		m.Overlays = append(m.Overlays, Applied{Overlay: "shop", State: Pending, Message: evil})
		m.Models = append(m.Models, Promoted{Model: "fraud", Stage: "production", Version: "v8", Message: evil})
	}
	got := Closing(m)
	if len(got) > github || !strings.Contains(got, "- and 4950 more overlays\n") || !strings.HasSuffix(got, "- and 4950 more models\n") {
		t.Errorf("it has %d bytes:\n%s", len(got), got)
	}
}
