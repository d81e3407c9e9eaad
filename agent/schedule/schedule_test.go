package schedule

import (
	"strings"
	"testing"
	"time"
)

// layout shows the offset too, so that the two passes of an hour differ.
const layout = "2006-01-02 15:04 -07:00"

func at(t testing.TB, text string) time.Time {
	t.Helper()
	when, err := time.Parse(layout, text)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

func parse(t testing.TB, cron, zone string) Schedule {
	t.Helper()
	s, err := Parse(cron, zone)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNext(t *testing.T) {
	for _, c := range []struct {
		name, cron, zone, after string
		slots                   []string
	}{
		{"every weekday", "0 9 * * 1-5", "Asia/Seoul", "2026-11-27 08:59 +09:00",
			[]string{"2026-11-27 09:00 +09:00", "2026-11-30 09:00 +09:00", "2026-12-01 09:00 +09:00"}},
		{"asked in another zone", "0 9 * * *", "Asia/Seoul", "2026-11-27 00:00 +00:00",
			[]string{"2026-11-28 09:00 +09:00"}},
		{"UTC is the default", "30 4 * * *", "", "2026-11-27 04:30 +00:00", []string{"2026-11-28 04:30 +00:00"}},
		{"a descriptor", "@monthly", "America/New_York", "2026-01-31 23:59 -05:00", []string{"2026-02-01 00:00 -05:00", "2026-03-01 00:00 -05:00", "2026-04-01 00:00 -04:00"}},
		{"day of month or of week", "0 0 13 * 5", "", "2026-11-01 00:00 +00:00", []string{"2026-11-06 00:00 +00:00", "2026-11-13 00:00 +00:00", "2026-11-20 00:00 +00:00"}},
		{"29 February", "0 0 29 2 *", "", "2026-01-01 00:00 +00:00", []string{"2028-02-29 00:00 +00:00", "2032-02-29 00:00 +00:00"}},
		{"29 February around 2100", "0 0 29 2 *", "", "2096-02-29 00:00 +00:00", []string{"2104-02-29 00:00 +00:00"}},
		{"a zone with half an hour", "0 9 * * *", "Asia/Kolkata", "2026-11-27 00:00 +00:00", []string{"2026-11-27 09:00 +05:30"}},

		{"Berlin, 02:30 does not exist", "30 2 * * *", "Europe/Berlin", "2026-03-28 00:00 +01:00",
			[]string{"2026-03-28 02:30 +01:00", "2026-03-29 03:00 +02:00", "2026-03-30 02:30 +02:00"}},
		{"Berlin, 02:00 does not exist", "0 2 * * *", "Europe/Berlin", "2026-03-29 00:00 +01:00", []string{"2026-03-29 03:00 +02:00", "2026-03-30 02:00 +02:00"}},
		{"Berlin, many that do not exist are one", "*/10 1-3 * * *", "Europe/Berlin", "2026-03-29 01:45 +01:00",
			[]string{"2026-03-29 01:50 +01:00", "2026-03-29 03:00 +02:00", "2026-03-29 03:10 +02:00"}},
		{"Berlin, asked right at the change", "30 2 * * *", "Europe/Berlin", "2026-03-29 03:00 +02:00", []string{"2026-03-30 02:30 +02:00"}},
		{"Berlin, 02:30 comes twice", "30 2 * * *", "Europe/Berlin", "2026-10-24 12:00 +02:00",
			[]string{"2026-10-25 02:30 +02:00", "2026-10-26 02:30 +01:00"}},
		{"Berlin, asked during the second 02:10", "30 2 * * *", "Europe/Berlin", "2026-10-25 02:10 +01:00", []string{"2026-10-26 02:30 +01:00"}},
		{"Berlin, asked between the two", "*/30 * * * *", "Europe/Berlin", "2026-10-25 01:45 +02:00",
			[]string{"2026-10-25 02:00 +02:00", "2026-10-25 02:30 +02:00", "2026-10-25 03:00 +01:00"}},

		{"New York, 02:30 does not exist", "30 2 * * *", "America/New_York", "2026-03-07 12:00 -05:00",
			[]string{"2026-03-08 03:00 -04:00", "2026-03-09 02:30 -04:00"}},
		{"New York, 01:30 comes twice", "30 1 * * *", "America/New_York", "2026-10-31 12:00 -04:00",
			[]string{"2026-11-01 01:30 -04:00", "2026-11-02 01:30 -05:00"}},
		{"Seoul never changes", "30 2 * * *", "Asia/Seoul", "2026-03-28 12:00 +09:00", []string{"2026-03-29 02:30 +09:00", "2026-03-30 02:30 +09:00"}},

		{"Lord Howe, half an hour does not exist", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00 +10:30",
			[]string{"2026-10-04 02:30 +11:00", "2026-10-05 02:15 +11:00"}},
		{"Lord Howe, the slot after the gap is none twice", "15,30 2 * * *", "Australia/Lord_Howe", "2026-10-04 01:00 +10:30",
			[]string{"2026-10-04 02:30 +11:00", "2026-10-05 02:15 +11:00"}},
		{"Lord Howe, half an hour comes twice", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04 12:00 +11:00",
			[]string{"2026-04-05 01:45 +11:00", "2026-04-06 01:45 +10:30"}},
		{"São Paulo, midnight did not exist", "0 0 * * *", "America/Sao_Paulo", "2018-11-03 12:00 -03:00",
			[]string{"2018-11-04 01:00 -02:00", "2018-11-05 00:00 -02:00"}},
		{"Apia, a day did not exist", "0 9 30 * *", "Pacific/Apia", "2011-12-01 00:00 -10:00",
			[]string{"2011-12-31 00:00 +14:00", "2012-01-30 09:00 +14:00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, now := parse(t, c.cron, c.zone), at(t, c.after)
			for _, want := range c.slots {
				if now = s.Next(now); now.Format(layout) != want {
					t.Fatalf("got %s, want %s", now.Format(layout), want)
				}
			}
		})
	}
}

// Next is held against all minutes of the days on which clocks are changed.
func TestNextAgainstEveryMinute(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Asia/Seoul", "Australia/Lord_Howe", "America/St_Johns", "Africa/Casablanca"} {
		for _, cron := range []string{"*/7 * * * *", "30 2 * * *", "15,45 1-3 * * *", "0 0 * * *", "59 23 * * 0", "* 2 * 3,10 *", "@hourly", "0 3 29 3 *"} {
			s := parse(t, cron, zone)
			for _, day := range []string{"2026-03-28", "2026-03-07", "2026-10-24", "2026-10-31", "2026-04-04", "2026-10-03", "2026-02-14"} {
				start := at(t, day+" 00:00 +00:00")
				next := s.Next(start)
				for now := start.Add(time.Minute); now.Before(start.Add(72 * time.Hour)); now = now.Add(time.Minute) {
					isSlot := slotByHand(s, now)
					if isSlot != next.Equal(now) {
						t.Fatalf("%s in %s: %s is a slot: %v; Next said %s", cron, zone, now.In(s.zone).Format(layout), isSlot, next.Format(layout))
					}
					if isSlot {
						next = s.Next(now)
					}
				}
			}
		}
	}
}

// slotByHand tells whether a minute is a slot: it matches and is the first to show this time, or
// it is the first after minutes that were left out, of which one matches.
func slotByHand(s Schedule, minute time.Time) bool {
	matches := func(wall time.Time) bool { return s.cron.Next(wall.Add(-time.Second)).Equal(wall) }
	wall := onTheWall(minute.In(s.zone))
	for back := 30 * time.Minute; back <= 3*time.Hour; back += 30 * time.Minute {
		if onTheWall(minute.Add(-back).In(s.zone)).Equal(wall) {
			return false
		}
	}
	for missing := onTheWall(minute.Add(-time.Minute).In(s.zone)).Add(time.Minute); missing.Before(wall); missing = missing.Add(time.Minute) {
		if matches(missing) {
			return true
		}
	}
	return matches(wall)
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ cron, zone, want string }{
		{"", "", `the cron expression "" cannot be read, for it has 0 fields: write five fields (minute hour day-of-month month day-of-week), for instance "0 9 * * 1-5"`},
		{"0 9 * *", "", "it has 4 fields"},
		{"0 0 9 * * 1", "", "it has 6 fields"},
		{"60 9 * * *", "", "end of range (60) above maximum (59)"},
		{"0 9 * * 7", "", "end of range (7) above maximum (6)"},
		{"0 9 0 * *", "", "beginning of range (0) below minimum (1)"},
		{"0 9 * * fri-mon", "", "beginning of range (5) beyond end of range (1)"},
		{"*/0 9 * * *", "", "step of range should be a positive number"},
		{"1,,2 9 * * *", "", `"1,,2" is no field`},
		{", , , , ,", "", `"," is no field`},
		{"*-5 9 * * *", "", `"*-5" is no field`},
		{"-5 9 * * *", "", `"-5" is no field`},
		{"+5 9 * * *", "", `"+5" is no field`},
		{"1-2-3 9 * * *", "", `"1-2-3" is no field`},
		{"99999999999999999999 9 * * *", "", "value out of range"},
		{"@every 1h", "", "@every has no fixed times"},
		{"@reboot", "", "unrecognized descriptor"},
		{"TZ=Asia/Seoul 0 9 * * *", "", "it names a time zone, which has a field of its own"},
		{"CRON_TZ=", "", "it names a time zone"},
		{strings.Repeat("* ", 100), "", "it is longer than 128 characters"},
		{"0 0 30 2 *", "", `the cron expression "0 0 30 2 *" never comes: there is no such day in any year`},
		{"0 0 31 2,4,6,9,11 *", "", "never comes"},
		{"0 9 * * *", "Mars/Olympus", `the time zone "Mars/Olympus" is not known: write an IANA name such as Asia/Seoul or Europe/Berlin`},
		{"0 9 * * *", "Local", "is not known"},
		{"0 9 * * *", "../../etc/passwd", "is not known"},
		{"0 9 * * *", "/etc/localtime", "is not known"},
		{"0 9 * * *", "Asia", "is not known"},
		{"0 9 * * *", "Asia/Seoul\n", `"Asia/Seoul\n" is not known`},
		{"0 9 * * *", strings.Repeat("A", 5000), `A"… is not known`},
	} {
		_, err := Parse(c.cron, c.zone)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 400 {
			t.Errorf("%.40q in %.20q: %v, want %s", c.cron, c.zone, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range [][2]string{{"0 9 * * 1-5", "Asia/Seoul"}, {"*/7 1-3,5 29 feb ?", "Australia/Lord_Howe"}, {"@weekly", ""}, {"TZ=", "Local"}, {"0 0 30 2 *", "UTC"}, {"30 2 * * *", "Europe/Berlin"}} {
		f.Add(c[0], c[1], int64(1774746000), int64(time.Hour))
	}
	f.Fuzz(func(t *testing.T, cron, zone string, unix, lasts int64) {
		s, err := Parse(cron, zone)
		if err != nil {
			if !strings.Contains(err.Error(), "cron") && !strings.Contains(err.Error(), "zone") {
				t.Errorf("%q, %q: %v", cron, zone, err)
			}
			return
		}
		now := time.Unix(unix%(1<<33), 0)
		first := s.Next(now)
		second := s.Next(first)
		if !first.After(now) || !second.After(first) {
			t.Fatalf("%q in %q after %s: %s, %s", cron, zone, now, first, second)
		}
		if between := first.Add(-time.Nanosecond); !s.Next(between).Equal(first) || !s.Next(now.Add(first.Sub(now)/2)).Equal(first) {
			t.Fatalf("%q in %q: %s is not the first slot after %s", cron, zone, first, now)
		}
		if lasts > 0 {
			checkState(t, Window{s, time.Duration(lasts)}, now)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	s, now := parse(b, "0 9 * * 1-5", "Europe/Berlin"), at(b, "2026-11-27 12:00 +00:00")
	b.ReportAllocs()
	for b.Loop() {
		s.Next(now)
	}
}
