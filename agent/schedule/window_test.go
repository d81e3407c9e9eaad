package schedule

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

func window(t testing.TB, cron, zone string, lasts time.Duration) Window {
	t.Helper()
	w, err := ParseWindow(v1alpha1.Window{Cron: cron, TimeZone: zone, Duration: metav1.Duration{Duration: lasts}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestState(t *testing.T) {
	for _, c := range []struct {
		name, cron, zone string
		lasts            time.Duration
		now              string
		open             bool
		until            string
	}{
		{"before office hours", "0 9 * * 1-5", "Asia/Seoul", 8 * time.Hour, "2026-11-25 08:59 +09:00", false, "2026-11-25 09:00 +09:00"},
		{"as they begin", "0 9 * * 1-5", "Asia/Seoul", 8 * time.Hour, "2026-11-25 09:00 +09:00", true, "2026-11-25 17:00 +09:00"},
		{"during them, asked in UTC", "0 9 * * 1-5", "Asia/Seoul", 8 * time.Hour, "2026-11-25 03:00 +00:00", true, "2026-11-25 17:00 +09:00"},
		{"as they end", "0 9 * * 1-5", "Asia/Seoul", 8 * time.Hour, "2026-11-25 17:00 +09:00", false, "2026-11-26 09:00 +09:00"},
		{"on a Friday evening", "0 9 * * 1-5", "Asia/Seoul", 8 * time.Hour, "2026-11-27 18:00 +09:00", false, "2026-11-30 09:00 +09:00"},
		{"over midnight", "0 22 * * *", "Asia/Seoul", 4 * time.Hour, "2026-11-26 01:00 +09:00", true, "2026-11-26 02:00 +09:00"},
		{"over the weekend", "0 18 * * 5", "Asia/Seoul", 62 * time.Hour, "2026-11-29 12:00 +09:00", true, "2026-11-30 08:00 +09:00"},
		{"one begins before the other ends", "0 9,12 * * *", "Asia/Seoul", 4 * time.Hour, "2026-11-25 12:30 +09:00", true, "2026-11-25 16:00 +09:00"},
		{"one begins as the other ends", "0 9,12 * * *", "Asia/Seoul", 3 * time.Hour, "2026-11-25 10:00 +09:00", true, "2026-11-25 15:00 +09:00"},
		{"every minute of working hours", "* 9-16 * * 1-5", "Asia/Seoul", time.Minute, "2026-11-25 10:00 +09:00", true, "2026-11-25 17:00 +09:00"},
		{"a minute", "0 9 * * *", "", time.Minute, "2026-11-25 09:00 +00:00", true, "2026-11-25 09:01 +00:00"},
		{"a year", "0 0 1 12 *", "", 31 * 24 * time.Hour, "2026-11-25 09:00 +00:00", false, "2026-12-01 00:00 +00:00"},

		{"Berlin, eight hours end at nine on the wall", "0 0 * * *", "Europe/Berlin", 8 * time.Hour, "2026-03-29 04:00 +02:00", true, "2026-03-29 09:00 +02:00"},
		{"Berlin, an hour comes twice within", "0 0 * * *", "Europe/Berlin", 8 * time.Hour, "2026-10-25 06:30 +01:00", true, "2026-10-25 07:00 +01:00"},
		{"Berlin, it begins in the gap", "30 2 * * *", "Europe/Berlin", time.Hour, "2026-03-29 03:59 +02:00", true, "2026-03-29 04:00 +02:00"},
		{"Berlin, right before the gap", "30 2 * * *", "Europe/Berlin", time.Hour, "2026-03-29 01:59 +01:00", false, "2026-03-29 03:00 +02:00"},
		{"Berlin, the first 02:45 of two", "30 2 * * *", "Europe/Berlin", 30 * time.Minute, "2026-10-25 02:45 +02:00", true, "2026-10-25 02:00 +01:00"},
		{"Berlin, the second 02:45 of two", "30 2 * * *", "Europe/Berlin", 30 * time.Minute, "2026-10-25 02:45 +01:00", false, "2026-10-26 02:30 +01:00"},
		{"New York, over the gap", "0 1 * * *", "America/New_York", 2 * time.Hour, "2026-03-08 03:30 -04:00", true, "2026-03-08 04:00 -04:00"},
		{"Lord Howe, over the half hour", "0 1 * * *", "Australia/Lord_Howe", 2 * time.Hour, "2026-10-04 03:00 +11:00", true, "2026-10-04 03:30 +11:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, now := window(t, c.cron, c.zone, c.lasts), at(t, c.now)
			got := w.State(now)
			if got.Open != c.open || got.Until.Format(layout) != c.until || got.More {
				t.Errorf("got %v until %s, more %v; want %v until %s", got.Open, got.Until.Format(layout), got.More, c.open, c.until)
			}
			checkState(t, w, now)
		})
	}
}

// A window that never closes, or for longer than is worth to find out, is open until some time
// ahead at which to ask again.
func TestStateWithoutEnd(t *testing.T) {
	now := at(t, "2026-11-25 09:30 +00:00")
	for name, w := range map[string]Window{
		"every minute":        window(t, "* * * * *", "", time.Minute),
		"every half hour":     window(t, "*/30 * * * *", "Asia/Seoul", 30*time.Minute),
		"a day every day":     window(t, "0 0 * * *", "Europe/Berlin", 26*time.Hour),
		"the longest of all":  window(t, "* * * * *", "", 1<<63-1),
		"a year every year":   window(t, "0 0 1 1 *", "", 367*24*time.Hour),
		"minutes of weekdays": window(t, "* * * * 1-5", "", time.Minute),
	} {
		got := w.State(now)
		if !got.Open || !got.More || got.Until.Sub(now) < 23*time.Hour {
			t.Errorf("%s: %v", name, got)
		}
		checkState(t, w, now)
	}
}

// checkState holds a state against what it says of the times around it.
func checkState(t *testing.T, w Window, now time.Time) {
	t.Helper()
	s := w.State(now)
	if !s.Until.After(now) {
		t.Fatalf("%v at %s: it changes in the past", s, now)
	}
	for _, still := range []time.Time{now.Add(s.Until.Sub(now) / 2), s.Until.Add(-time.Nanosecond)} {
		if w.State(still).Open != s.Open {
			t.Fatalf("%v at %s, but not at %s", s, now, still)
		}
	}
	if !s.More && w.State(s.Until).Open == s.Open {
		t.Fatalf("%v at %s, and the same then", s, now)
	}
}

func TestParseWindowRefuses(t *testing.T) {
	for _, c := range []struct {
		window v1alpha1.Window
		want   string
	}{
		{v1alpha1.Window{Cron: "0 9 * * *"}, "the duration 0s is no time: write how long the window lasts, for instance 8h"},
		{v1alpha1.Window{Cron: "0 9 * * *", Duration: metav1.Duration{Duration: -time.Hour}}, "the duration -1h0m0s is no time"},
		{v1alpha1.Window{Cron: "0 25 * * *", Duration: metav1.Duration{Duration: time.Hour}}, "end of range (25)"},
		{v1alpha1.Window{Cron: "0 9 * * *", TimeZone: "KST9", Duration: metav1.Duration{Duration: time.Hour}}, `the time zone "KST9" is not known`},
	} {
		if _, err := ParseWindow(c.window); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %s", c.window, err, c.want)
		}
	}
}

func BenchmarkState(b *testing.B) {
	for name, w := range map[string]Window{
		"office hours": window(b, "0 9 * * 1-5", "Asia/Seoul", 8*time.Hour),
		"worst":        window(b, "* * * * *", "Europe/Berlin", time.Minute),
	} {
		b.Run(name, func(b *testing.B) {
			now := at(b, "2026-11-27 12:00 +00:00")
			b.ReportAllocs()
			for b.Loop() {
				w.State(now)
			}
		})
	}
}
