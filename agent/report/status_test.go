package report

import (
	"slices"
	"strings"
	"testing"
)

// TestContexts: every status has a name for itself, short where it can be.
func TestContexts(t *testing.T) {
	shop, plan := Applied{Overlay: "shop", Namespace: "ml"}, Applied{Overlay: "plan", Namespace: "ml"}
	fraud := Promoted{Model: "fraud", Namespace: "fraud", Stage: "production"}
	long := strings.Repeat("very-", 50)
	for _, c := range []struct {
		name  string
		merge Merge
		want  []string
	}{
		{"all alone", Merge{Overlays: []Applied{shop}, Models: []Promoted{fraud}}, []string{"sluice/shop", "sluice/fraud-production"}},
		{"of an agent with a name", Merge{Name: "blue", Overlays: []Applied{shop}, Models: []Promoted{fraud}}, []string{"sluice/blue/shop", "sluice/blue/fraud-production"}},
		{"two namespaces", Merge{Overlays: []Applied{shop, {Overlay: "shop", Namespace: "web"}, {Overlay: "docs", Namespace: "web"}}},
			[]string{"sluice/overlay/ml/shop", "sluice/overlay/web/shop", "sluice/docs"}},
		{"an overlay and a model", Merge{Overlays: []Applied{{Overlay: "fraud-production", Namespace: "ml"}}, Models: []Promoted{fraud}},
			[]string{"sluice/overlay/ml/fraud-production", "sluice/model/fraud/fraud/production"}},
		{"two models", Merge{Models: []Promoted{{Model: "a-b", Namespace: "ml", Stage: "c"}, {Model: "a", Namespace: "ml", Stage: "b-c"}, fraud}},
			[]string{"sluice/model/ml/a-b/c", "sluice/model/ml/a/b-c", "sluice/fraud-production"}},
		{"the name of the plan's", Merge{Name: "blue", Overlays: []Applied{plan}}, []string{"sluice/blue/overlay/ml/plan"}},
		{"no namespace", Merge{Overlays: []Applied{{Overlay: "plan"}}}, []string{"sluice/overlay/plan"}},
	} {
		var have []string
		for _, s := range c.merge.Statuses() {
			have = append(have, s.Context)
		}
		if !slices.Equal(have, c.want) {
			t.Errorf("%s: %q, want %q", c.name, have, c.want)
		}
	}
	both := Merge{Overlays: []Applied{{Overlay: long + "a"}, {Overlay: long + "b"}}}.Statuses()
	if a, b := both[0].Context, both[1].Context; a == b || len(a) > longestContext || !strings.HasPrefix(a, "sluice/very-very-") {
		t.Errorf("long names: %s and %s", a, b)
	}
	r := tuned(t)
	if s := r.Status(); s != (Status{"sluice/plan", Success, "1 overlay, 1 object changes"}) {
		t.Error(s)
	}
	r.Name = "blue"
	if s := r.Status(); s.Context != "sluice/blue/plan" {
		t.Error(s)
	}
}

func TestWithdrawn(t *testing.T) {
	if have, want := Withdrawn("", "4f2a9c1d0e6b7a8f4f2a9c1d0e6b7a8f4f2a9c1d", "Closed without a merge"), "Closed without a merge: the plan of `4f2a9c1` is withdrawn.\n"; have != want {
		t.Errorf("%q, want %q", have, want)
	}
	if have, want := Withdrawn("blue", "", "It goes to another branch now"), "`blue`: It goes to another branch now: the plan is withdrawn.\n"; have != want {
		t.Errorf("%q, want %q", have, want)
	}
	if have, want := Settled("blue", "superseded: v9 is proposed for production by now, see @ann"), "`blue`: Closed without a merge: superseded: v9 is proposed for production by now, see `@ann`\n"; have != want {
		t.Errorf("%q, want %q", have, want)
	}
	if have := Closing(Merge{Name: "blue"}); have != "**`blue`: Nothing to apply**\n\n" {
		t.Errorf("%q", have)
	}
}
