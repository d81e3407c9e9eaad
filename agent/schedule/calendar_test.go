package schedule

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

func calendar(t testing.TB, spec v1alpha1.RetrainingSpec, created time.Time) Calendar {
	t.Helper()
	c, err := ParseCalendar(spec, created)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func day(t testing.TB, text string) *metav1.Time {
	t.Helper()
	return new(metav1.NewTime(at(t, text)))
}

func TestCalendar(t *testing.T) {
	const created = "2026-11-25 09:10 +00:00"
	for _, c := range []struct {
		name  string
		spec  v1alpha1.RetrainingSpec
		after string
		slots []string
	}{
		{"one", v1alpha1.RetrainingSpec{Schedules: []string{"0 3 * * 1"}, TimeZone: "Asia/Seoul"}, created,
			[]string{"2026-11-29 18:00 +00:00", "2026-12-06 18:00 +00:00"}},
		{"two, and one time that both name", v1alpha1.RetrainingSpec{Schedules: []string{"0 */6 * * *", "0 12 * * *", "30 12 * * *"}}, created,
			[]string{"2026-11-25 12:00 +00:00", "2026-11-25 12:30 +00:00", "2026-11-25 18:00 +00:00", "2026-11-26 00:00 +00:00"}},
		{"none before it was created", v1alpha1.RetrainingSpec{Schedules: []string{"@hourly"}}, "2020-01-01 00:00 +00:00",
			[]string{"2026-11-25 10:00 +00:00", "2026-11-25 11:00 +00:00"}},
		{"every six hours from its creation", v1alpha1.RetrainingSpec{Schedules: []string{"@every 6h"}}, created,
			[]string{"2026-11-25 15:10 +00:00", "2026-11-25 21:10 +00:00"}},
		{"every six hours, asked between", v1alpha1.RetrainingSpec{Schedules: []string{"@every 6h"}}, "2026-11-25 22:00 +00:00",
			[]string{"2026-11-26 03:10 +00:00"}},
		{"every six hours from a start, which is one", v1alpha1.RetrainingSpec{Schedules: []string{"@every 6h"}, StartAt: day(t, "2026-12-01 00:00 +00:00")}, created,
			[]string{"2026-12-01 00:00 +00:00", "2026-12-01 06:00 +00:00"}},
		{"every six hours from a start in the past", v1alpha1.RetrainingSpec{Schedules: []string{"@every 6h"}, StartAt: day(t, "2020-01-01 00:00 +00:00")}, created,
			[]string{"2026-11-25 12:00 +00:00"}},
		{"every hour and by the clock, one time is the same", v1alpha1.RetrainingSpec{Schedules: []string{"@every 1h", "0 12,13 * * *"}, StartAt: day(t, "2026-11-25 10:00 +00:00")}, "2026-11-25 10:30 +00:00",
			[]string{"2026-11-25 11:00 +00:00", "2026-11-25 12:00 +00:00", "2026-11-25 13:00 +00:00", "2026-11-25 14:00 +00:00"}},
		{"the first at the start itself", v1alpha1.RetrainingSpec{Schedules: []string{"@daily"}, StartAt: day(t, "2026-12-01 00:00 +00:00")}, created,
			[]string{"2026-12-01 00:00 +00:00", "2026-12-02 00:00 +00:00"}},
		{"the last at the end itself", v1alpha1.RetrainingSpec{Schedules: []string{"@daily"}, EndAt: day(t, "2026-11-27 00:00 +00:00")}, created,
			[]string{"2026-11-26 00:00 +00:00", "2026-11-27 00:00 +00:00", ""}},
		{"over before it was created", v1alpha1.RetrainingSpec{Schedules: []string{"@daily"}, EndAt: day(t, "2020-11-27 00:00 +00:00")}, created, []string{""}},
		{"no schedules", v1alpha1.RetrainingSpec{}, created, []string{""}},
		{"no year 10000", v1alpha1.RetrainingSpec{Schedules: []string{"@every 6h"}}, "9999-12-31 23:00 +00:00", []string{""}},

		{"Berlin, what does not exist is the next minute, once", v1alpha1.RetrainingSpec{Schedules: []string{"0 2 * * *", "30 2 * * *", "0 3 * * *"}, TimeZone: "Europe/Berlin", StartAt: day(t, "2026-03-01 00:00 +00:00")}, "2026-03-28 12:00 +00:00",
			[]string{"2026-03-29 01:00 +00:00", "2026-03-30 00:00 +00:00"}},
		{"Berlin, what comes twice runs once", v1alpha1.RetrainingSpec{Schedules: []string{"0 2 * * *", "30 2 * * *"}, TimeZone: "Europe/Berlin", StartAt: day(t, "2026-03-01 00:00 +00:00")}, "2026-10-24 12:00 +00:00",
			[]string{"2026-10-25 00:00 +00:00", "2026-10-25 00:30 +00:00", "2026-10-26 01:00 +00:00"}},
		{"New York, what does not exist", v1alpha1.RetrainingSpec{Schedules: []string{"15 2 * * *", "45 2 * * *"}, TimeZone: "America/New_York", StartAt: day(t, "2026-03-01 00:00 +00:00")}, "2026-03-07 12:00 +00:00",
			[]string{"2026-03-08 07:00 +00:00", "2026-03-09 06:15 +00:00"}},
		{"New York, what comes twice", v1alpha1.RetrainingSpec{Schedules: []string{"30 1 * * *"}, TimeZone: "America/New_York", StartAt: day(t, "2026-03-01 00:00 +00:00")}, "2026-10-31 12:00 +00:00",
			[]string{"2026-11-01 05:30 +00:00", "2026-11-02 06:30 +00:00"}},
		{"Lord Howe, half an hour does not exist", v1alpha1.RetrainingSpec{Schedules: []string{"10 2 * * *", "20 2 * * *"}, TimeZone: "Australia/Lord_Howe", StartAt: day(t, "2026-03-01 00:00 +00:00")}, "2026-10-03 00:00 +00:00",
			[]string{"2026-10-03 15:30 +00:00", "2026-10-04 15:10 +00:00"}},
		{"Lord Howe, half an hour comes twice", v1alpha1.RetrainingSpec{Schedules: []string{"45 1 * * *"}, TimeZone: "Australia/Lord_Howe", StartAt: day(t, "2026-03-01 00:00 +00:00")}, "2026-04-04 00:00 +00:00",
			[]string{"2026-04-04 14:45 +00:00", "2026-04-05 15:15 +00:00"}},
		{"Casablanca, an hour comes twice as Ramadan begins", v1alpha1.RetrainingSpec{Schedules: []string{"30 2 * * *"}, TimeZone: "Africa/Casablanca", StartAt: day(t, "2026-02-01 00:00 +00:00")}, "2026-02-14 12:00 +00:00",
			[]string{"2026-02-15 01:30 +00:00", "2026-02-16 02:30 +00:00"}},
		{"Casablanca, an hour does not exist as it ends", v1alpha1.RetrainingSpec{Schedules: []string{"30 2 * * *"}, TimeZone: "Africa/Casablanca", StartAt: day(t, "2026-02-01 00:00 +00:00")}, "2026-03-21 12:00 +00:00",
			[]string{"2026-03-22 02:00 +00:00", "2026-03-23 01:30 +00:00"}},
		{"Seoul never changes", v1alpha1.RetrainingSpec{Schedules: []string{"30 2 * * *"}, TimeZone: "Asia/Seoul", StartAt: day(t, "2026-02-01 00:00 +00:00")}, "2026-03-28 12:00 +00:00",
			[]string{"2026-03-28 17:30 +00:00", "2026-03-29 17:30 +00:00"}},
		{"every hour knows of no clocks on walls", v1alpha1.RetrainingSpec{Schedules: []string{"@every 1h"}, TimeZone: "Europe/Berlin", StartAt: day(t, "2026-03-01 00:00 +00:00")}, "2026-10-25 00:00 +00:00",
			[]string{"2026-10-25 01:00 +00:00", "2026-10-25 02:00 +00:00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			calendar, now := calendar(t, c.spec, at(t, created)), at(t, c.after)
			for _, want := range c.slots {
				got := ""
				if now = calendar.Next(now); !now.IsZero() {
					got = now.UTC().Format(layout)
				}
				if got != want {
					t.Fatalf("got %q, want %q", got, want)
				}
				if named := calendar.Naming(now); (named == "") != now.IsZero() {
					t.Errorf("%s is named by %q", want, named)
				}
			}
		})
	}
}

func TestNaming(t *testing.T) {
	c := calendar(t, v1alpha1.RetrainingSpec{Schedules: []string{"@every 7h", "0 3 * * 1", "0 */3 * * *"}, TimeZone: "Asia/Seoul"}, at(t, "2026-11-25 09:10 +00:00"))
	for slot, want := range map[string]string{
		"2026-11-25 16:10 +00:00": "@every 7h",
		"2026-11-29 18:00 +00:00": "0 3 * * 1 in Asia/Seoul", // and the third one
		"2026-11-29 21:00 +00:00": "0 */3 * * * in Asia/Seoul",
		"2026-11-29 21:01 +00:00": "",
	} {
		if got := c.Naming(at(t, slot)); got != want {
			t.Errorf("%s is named by %q, want %q", slot, got, want)
		}
	}
}

func TestParseCalendarRefuses(t *testing.T) {
	for _, c := range []struct {
		spec v1alpha1.RetrainingSpec
		want string
	}{
		{v1alpha1.RetrainingSpec{Schedules: []string{"0 9 * * *", "0 0 30 2 *"}}, `the cron expression "0 0 30 2 *" never comes`},
		{v1alpha1.RetrainingSpec{Schedules: []string{"0 9 * *"}}, "it has 4 fields"},
		{v1alpha1.RetrainingSpec{Schedules: []string{"@every"}}, "@every has no fixed times"},
		{v1alpha1.RetrainingSpec{Schedules: []string{"@every often"}}, `"@every often" is no time between two slots: write for instance "@every 6h"`},
		{v1alpha1.RetrainingSpec{Schedules: []string{"@every 0s"}}, `"@every 0s" is not a number of whole seconds`},
		{v1alpha1.RetrainingSpec{Schedules: []string{"@every -6h"}}, "is not a number of whole seconds"},
		{v1alpha1.RetrainingSpec{Schedules: []string{"@every 1500ms"}}, "is not a number of whole seconds"},
		{v1alpha1.RetrainingSpec{Schedules: []string{"@every 2562047h"}}, `longer than ten years: write at most "@every 87840h"`},
		{v1alpha1.RetrainingSpec{Schedules: []string{"@every 99999999999h"}}, "is no time between two slots"},
		{v1alpha1.RetrainingSpec{TimeZone: "Mars/Olympus"}, "is not known"},
		{v1alpha1.RetrainingSpec{Schedules: []string{"@every 6h"}, TimeZone: "Mars/Olympus"}, "is not known"},
		{v1alpha1.RetrainingSpec{Schedules: []string{"0 0 29 2 *"}, StartAt: day(t, "2026-01-01 00:00 +00:00"), EndAt: day(t, "2027-01-01 00:00 +00:00")}, "no slot of the schedules is between startAt and endAt"},
	} {
		_, err := ParseCalendar(c.spec, at(t, "2026-11-25 09:00 +00:00"))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %s", c.spec.Schedules, err, c.want)
		}
	}
}

// Last and Count are held against all slots of a time, found one by one.
func TestCalendarBetween(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	start := at(t, "2026-01-01 00:00 +00:00")
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Seoul"} {
		for _, schedules := range [][]string{{"*/30 * * * *"}, {"0 3 * * 1", "30 2 * * *"}, {"@every 7h", "15 */4 * * *", "0 0 29 2 *"}, {"* 3 1 * *"}, {"0 0 29 2 *"}} {
			c := calendar(t, v1alpha1.RetrainingSpec{Schedules: schedules, TimeZone: zone, EndAt: day(t, "2028-12-01 00:00 +00:00")}, start)
			for range 20 {
				after := start.Add(time.Duration(r.IntN(900*24)) * time.Hour)
				upTo := after.Add(time.Duration(r.IntN(100*24)) * time.Hour)
				var all []time.Time
				for slot := c.Next(after); !slot.IsZero() && !slot.After(upTo); slot = c.Next(slot) {
					all = append(all, slot)
				}
				limit := 1 + r.IntN(50)
				few := min(limit, len(all))
				if got := c.Last(after, upTo, limit); !same(got, all[len(all)-few:]) {
					t.Fatalf("%v in %s: the last %d up to %s are %v, want %v", schedules, zone, limit, upTo, got, all[len(all)-few:])
				}
				if got := c.Count(after, upTo, limit); got != few {
					t.Fatalf("%v in %s: counted %d, want %d", schedules, zone, got, few)
				}
			}
		}
	}
}

func same(a, b []time.Time) bool {
	return slices.EqualFunc(a, b, func(a, b time.Time) bool { return a.Equal(b) })
}

// A hundred years of minutes that were missed cost neither the memory nor the time of them.
func TestLastOfManyYears(t *testing.T) {
	created := at(t, "1926-11-25 09:00 +00:00")
	now := at(t, "2026-11-25 09:00 +00:00")
	c := calendar(t, v1alpha1.RetrainingSpec{Schedules: []string{"* * * * *", "@every 1s"}}, created)
	before := allocated()
	got := c.Last(created, now, 1000)
	if used := allocated() - before; used > 1<<20 {
		t.Errorf("%d bytes for 1,000 slots", used)
	}
	if len(got) != 1000 || !got[999].Equal(now) || !got[0].Equal(now.Add(-999*time.Second)) {
		t.Errorf("%d slots, from %s to %s", len(got), got[0], got[len(got)-1])
	}
	over := calendar(t, v1alpha1.RetrainingSpec{Schedules: []string{"* * * * *"}, EndAt: day(t, "1930-01-01 00:00 +00:00")}, created)
	if got := over.Last(created, now, 2); len(got) != 2 || got[1].Year() != 1930 {
		t.Errorf("the last before an end long ago are %v", got)
	}
	if c.Last(now, created, 5) != nil || c.Last(created, now, 0) != nil || c.Count(now, created, 5) != 0 {
		t.Error("there are slots in no time")
	}
}

func allocated() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.TotalAlloc
}

func TestDigest(t *testing.T) {
	created := at(t, "2026-11-25 09:00 +00:00")
	base := v1alpha1.RetrainingSpec{Schedules: []string{"0 3 * * 1", "@every 6h"}, StartAt: day(t, "2026-12-01 00:00 +00:00")}
	same := base
	same.Schedules, same.TimeZone, same.Suspend, same.Missed = []string{"@every  6h", "0 3  * * 1", "0 3 * * 1"}, "UTC", true, v1alpha1.MissedAll
	same.StartAt = day(t, "2026-12-01 09:00 +09:00")
	if a, b := digestOf(t, base, created), digestOf(t, same, created); a != b {
		t.Errorf("the same slots have two digests, %s and %s", a, b)
	}
	seen := map[string]string{digestOf(t, base, created): "base"}
	for name, change := range map[string]func(*v1alpha1.RetrainingSpec){
		"schedules": func(s *v1alpha1.RetrainingSpec) { s.Schedules = []string{"0 3 * * 2", "@every 6h"} },
		"fewer":     func(s *v1alpha1.RetrainingSpec) { s.Schedules = s.Schedules[:1] },
		"zone":      func(s *v1alpha1.RetrainingSpec) { s.TimeZone = "Asia/Seoul" },
		"start":     func(s *v1alpha1.RetrainingSpec) { s.StartAt = nil },
		"end":       func(s *v1alpha1.RetrainingSpec) { s.EndAt = day(t, "2027-12-01 00:00 +00:00") },
	} {
		spec := base
		change(&spec)
		got := digestOf(t, spec, created)
		if other, twice := seen[got]; twice {
			t.Errorf("%s and %s have the same digest", name, other)
		}
		seen[got] = name
	}
}

func digestOf(t testing.TB, spec v1alpha1.RetrainingSpec, created time.Time) string {
	t.Helper()
	return calendar(t, spec, created).Digest()
}

func FuzzCalendar(f *testing.F) {
	for _, text := range []string{"@every 6h", "@every 1s", "* * * * *", "0 0 29 2 *", "@every 87840h", "@daily"} {
		f.Add(text, "Europe/Berlin", int64(1774746000), int64(1774746000+86400))
	}
	f.Fuzz(func(t *testing.T, expression, zone string, created, now int64) {
		c, err := ParseCalendar(v1alpha1.RetrainingSpec{Schedules: []string{expression}, TimeZone: zone}, time.Unix(created%(1<<33), 0))
		if err != nil {
			return
		}
		after := time.Unix(now%(1<<33), 0)
		first := c.Next(after)
		if first.IsZero() {
			return
		}
		second := c.Next(first)
		if !first.After(after) || !second.IsZero() && !second.After(first) || first.Nanosecond() != 0 {
			t.Fatalf("%q after %s: %s, %s", expression, after, first, second)
		}
		if got := c.Last(after, first, 3); fmt.Sprint(got) != fmt.Sprint([]time.Time{first}) {
			t.Fatalf("%q: the last up to %s is %v", expression, first, got)
		}
	})
}
