package schedule

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // the agent's image has no zones

	"github.com/robfig/cron/v3"
)

// Schedule is the slots of a cron expression in a time zone.
type Schedule struct {
	cron *cron.SpecSchedule // in UTC: it is asked for times of the wall
	zone *time.Location
}

const (
	longestCron = 128
	longestZone = 64
	example     = `write five fields (minute hour day-of-month month day-of-week), for instance "0 9 * * 1-5"`
)

var (
	parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	// field is what a field may look like. The parser also takes "*-5" and "1,,2", which say
	// something else than they seem to.
	field = regexp.MustCompile(`^(\*|\?|\w+(-\w+)?)(/\d+)?(,(\*|\?|\w+(-\w+)?)(/\d+)?)*$`)
	// zoneName keeps names from being paths to elsewhere.
	zoneName = regexp.MustCompile(`^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$`)
)

// Parse reads a cron expression of five fields, or a descriptor such as @daily. The zone is the
// IANA name of the time zone; without one it is UTC.
func Parse(expression, zone string) (Schedule, error) {
	location, err := loadZone(zone)
	if err != nil {
		return Schedule{}, err
	}
	return parseIn(expression, location)
}

func parseIn(expression string, location *time.Location) (Schedule, error) {
	spec, err := parseCron(expression)
	if err != nil {
		return Schedule{}, err
	}
	s := Schedule{spec, location}
	// Any span of nine years has a 29 February, but for one around 1900, 2100 and so on.
	if s.wall(time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Schedule{}, fmt.Errorf("the cron expression %s never comes: there is no such day in any year", quoted(expression))
	}
	return s, nil
}

func loadZone(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	if len(name) <= longestZone && zoneName.MatchString(name) && name != "Local" {
		if location, err := time.LoadLocation(name); err == nil {
			return location, nil
		}
	}
	return nil, fmt.Errorf("the time zone %s is not known: write an IANA name such as Asia/Seoul or Europe/Berlin", quoted(name))
}

func parseCron(expression string) (*cron.SpecSchedule, error) {
	bad := func(why string) (*cron.SpecSchedule, error) {
		return nil, fmt.Errorf("the cron expression %s cannot be read, for %s: %s", quoted(expression), why, example)
	}
	fields := strings.Fields(expression)
	switch {
	case len(expression) > longestCron:
		return bad(fmt.Sprintf("it is longer than %d characters", longestCron))
	case strings.HasPrefix(expression, "TZ=") || strings.HasPrefix(expression, "CRON_TZ="):
		return bad("it names a time zone, which has a field of its own")
	case strings.HasPrefix(expression, "@every"):
		return bad("@every has no fixed times")
	case strings.HasPrefix(expression, "@"):
	case len(fields) != 5:
		return bad(fmt.Sprintf("it has %d fields", len(fields)))
	default:
		for _, f := range fields {
			if !field.MatchString(f) {
				return bad(quoted(f) + " is no field")
			}
		}
	}
	parsed, err := parser.Parse(expression)
	if err != nil {
		return bad(err.Error())
	}
	spec := *parsed.(*cron.SpecSchedule)
	spec.Location = time.UTC
	return &spec, nil
}

// Next is the first slot after a time, in the zone of the schedule.
func (s Schedule) Next(after time.Time) time.Time {
	local := after.In(s.zone)
	wall := onTheWall(local)
	for {
		if wall = s.wall(wall); wall.IsZero() {
			return time.Time{}
		}
		// Where an hour comes twice, the slots of the first one are over during the second.
		if slot := s.instant(wall); slot.After(after) {
			return slot
		}
	}
}

// wall is the first slot after a time of the wall, both written as if they were in UTC.
func (s Schedule) wall(after time.Time) time.Time {
	// The cron package looks five years ahead; eight years go by without a 29 February at the
	// end of most centuries.
	for range 3 {
		if slot := s.cron.Next(after); !slot.IsZero() {
			return slot
		}
		after = after.AddDate(4, 0, 0)
	}
	return time.Time{}
}

// onTheWall is what clocks show at a time, written as if it were UTC.
func onTheWall(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// instant is the first time at which clocks show wall, or the first minute after the gap that
// wall falls into.
func (s Schedule) instant(wall time.Time) time.Time {
	t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), 0, 0, s.zone)
	start, end := t.ZoneBounds()
	switch shown := onTheWall(t); {
	case shown.After(wall): // in a gap, and counted with the offset from before it
		return start
	case shown.Before(wall): // in a gap, and counted with the offset from after it
		return end
	}
	if !start.IsZero() {
		_, now := t.Zone()
		_, before := start.Add(-time.Second).Zone()
		if earlier := t.Add(time.Duration(now-before) * time.Second); earlier.Before(start) {
			return earlier
		}
	}
	return t
}

// quoted shows text that somebody else wrote.
func quoted(text string) string {
	const enough = 60
	if len(text) > enough {
		return fmt.Sprintf("%q…", text[:enough])
	}
	return fmt.Sprintf("%q", text)
}
