package slot

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

func TestRunName(t *testing.T) {
	at := clock(t, "03:00")
	long := strings.Repeat("long-", 9) + "xyz" // 48 characters
	for _, c := range []struct {
		retraining string
		slot       time.Time
		kind       v1alpha1.TriggerKind
		key, want  string
	}{
		{"fraud", at, v1alpha1.TriggerSchedule, "", "fraud-20261125-0300"},
		{"fraud", at, v1alpha1.TriggerMissed, "", "fraud-20261125-0300"},
		{"fraud", at.In(time.FixedZone("KST", 9*3600)), v1alpha1.TriggerSchedule, "", "fraud-20261125-0300"},
		{"fraud", at.Add(2 * time.Second), v1alpha1.TriggerSchedule, "", "fraud-20261125-030002"},
		{"fraud", at, v1alpha1.TriggerData, "sha256:1", "fraud-20261125-0300-data-51ae7fa0"},
		{"fraud", at, v1alpha1.TriggerMetric, "", "fraud-20261125-0300-metric-e3b0c442"},
		{"fraud", time.Time{}, v1alpha1.TriggerCommit, "sha256:1", "fraud-commit-51ae7fa0"},
		{"fraud.v2", at, v1alpha1.TriggerSchedule, "", "fraud-v2-58bcd448-20261125-0300"},
		{long, at, v1alpha1.TriggerSchedule, "", long + "-20261125-0300"},
		{long, at.Add(time.Second), v1alpha1.TriggerSchedule, "", "long-long-long-long-long-long-long-lon-bbb981c4-20261125-030001"},
	} {
		if got := RunName(c.retraining, c.slot, c.kind, c.key); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestRunNamesAreInOrder(t *testing.T) {
	at := time.Date(2026, 12, 31, 23, 58, 0, 0, time.UTC)
	var names []string
	for range 200 {
		names = append(names, RunName("fraud", at, v1alpha1.TriggerSchedule, ""))
		at = at.Add(time.Second)
	}
	if !slices.IsSorted(names) || len(slices.Compact(names)) != 200 {
		t.Error("names are not in the order of time, or the same for two times")
	}
}

func FuzzRunName(f *testing.F) {
	label := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	for _, name := range []string{"fraud", "a.b", "-", "", "ÄÖ", strings.Repeat("x-", 60), "3"} {
		f.Add(name, "key", int64(1790000000))
	}
	f.Fuzz(func(t *testing.T, name, key string, unix int64) {
		at := time.Unix(unix%(1<<37), 0)
		for _, kind := range []v1alpha1.TriggerKind{v1alpha1.TriggerSchedule, v1alpha1.TriggerManual} {
			if run := RunName(name, at, kind, key); !label.MatchString(run) || len(run) > 63 {
				t.Fatalf("%q: %q", name, run)
			}
		}
	})
}
