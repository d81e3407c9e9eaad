package schedule

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// Calendar is the slots of several expressions in one time zone. A time that several of them name
// is one slot.
type Calendar struct {
	rules  []rule
	anchor time.Time
	// Slots are later than after, and not later than until.
	after, until time.Time
	digest       string
}

// rule is one of the expressions: the slots of a Schedule, or with every those that come again and again.
type rule struct {
	text  string
	cron  Schedule
	every time.Duration
}

const (
	everyPrefix  = "@every "
	longestEvery = 10 * 366 * 24 * time.Hour
)

// lastYear is the last whose times can be written down as Kubernetes writes them.
var lastYear = time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)

// ParseCalendar reads when a Retraining that was created at a time is due. Without schedules there
// are no slots.
func ParseCalendar(spec v1alpha1.RetrainingSpec, created time.Time) (Calendar, error) {
	zone, err := loadZone(spec.TimeZone)
	if err != nil {
		return Calendar{}, err
	}
	c := Calendar{anchor: created.Truncate(time.Second), until: lastYear}
	c.after = c.anchor
	if spec.StartAt != nil { // a slot at the very start is one
		c.anchor = spec.StartAt.Truncate(time.Second)
		c.after = spec.StartAt.Add(-time.Nanosecond)
	}
	if spec.EndAt != nil && spec.EndAt.Time.Before(lastYear) {
		c.until = spec.EndAt.Time
	}
	for _, expression := range spec.Schedules {
		if err := c.add(expression, zone); err != nil {
			return Calendar{}, err
		}
	}
	c.digest = digest(spec, zone)
	if len(spec.Schedules) > 0 && spec.StartAt != nil && spec.EndAt != nil && c.Next(time.Time{}).IsZero() {
		return Calendar{}, errors.New("no slot of the schedules is between startAt and endAt: move one of them")
	}
	return c, nil
}

func (c *Calendar) add(expression string, zone *time.Location) error {
	if text, is := strings.CutPrefix(expression, everyPrefix); is {
		every, err := parseEvery(text)
		if err != nil {
			return err
		}
		c.rules = append(c.rules, rule{text: expression, every: every})
		return nil
	}
	s, err := parseIn(expression, zone)
	if err != nil {
		return err
	}
	c.rules = append(c.rules, rule{text: expression + " in " + zone.String(), cron: s})
	return nil
}

// parseEvery reads the time between two slots. Slots are written down in whole seconds, and one
// between two seconds would always seem to be later than what was written down of it.
func parseEvery(text string) (time.Duration, error) {
	every, err := time.ParseDuration(strings.TrimSpace(text))
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s is no time between two slots: write for instance \"@every 6h\"", quoted(everyPrefix+text))
	case every < time.Second || every%time.Second != 0:
		return 0, fmt.Errorf("%s is not a number of whole seconds: write for instance \"@every 6h\"", quoted(everyPrefix+text))
	case every > longestEvery:
		return 0, fmt.Errorf("%s is longer than ten years: write at most \"@every %dh\"", quoted(everyPrefix+text), longestEvery/time.Hour)
	}
	return every, nil
}

// digest changes when other slots are meant, and not when the same are written in another way.
func digest(spec v1alpha1.RetrainingSpec, zone *time.Location) string {
	lines := make([]string, 0, len(spec.Schedules))
	for _, expression := range spec.Schedules {
		lines = append(lines, strings.Join(strings.Fields(expression), " "))
	}
	slices.Sort(lines)
	lines = append(slices.Compact(lines), "zone "+zone.String())
	if spec.StartAt != nil {
		lines = append(lines, "start "+spec.StartAt.UTC().Format(time.RFC3339))
	}
	if spec.EndAt != nil {
		lines = append(lines, "end "+spec.EndAt.UTC().Format(time.RFC3339))
	}
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:8])
}

// Digest stands for the schedules, their zone, start and end: other slots have another one.
func (c Calendar) Digest() string { return c.digest }

// Next is the first slot after a time; zero for none.
func (c Calendar) Next(after time.Time) time.Time {
	if after.Before(c.after) {
		after = c.after
	}
	next := time.Time{}
	for _, r := range c.rules {
		next = sooner(next, c.nextOf(r, after))
	}
	if next.After(c.until) {
		return time.Time{}
	}
	return next
}

// Naming is the first of the expressions that name a slot, with its zone: 0 3 * * 1 in Asia/Seoul.
func (c Calendar) Naming(slot time.Time) string {
	for _, r := range c.rules {
		if c.nextOf(r, slot.Add(-time.Nanosecond)).Equal(slot) {
			return r.text
		}
	}
	return ""
}

func (c Calendar) nextOf(r rule, after time.Time) time.Time {
	if r.every > 0 {
		return c.nextEvery(after, r.every)
	}
	return r.cron.Next(after)
}

// nextEvery counts in seconds, for a Duration holds no more than 292 years.
func (c Calendar) nextEvery(after time.Time, every time.Duration) time.Time {
	if after.Before(c.anchor) {
		return c.anchor
	}
	step := int64(every / time.Second)
	gone := (after.Unix() - c.anchor.Unix()) / step
	return time.Unix(c.anchor.Unix()+(gone+1)*step, 0).In(c.anchor.Location())
}

// sooner returns the earlier of two times that are set.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Last returns at most limit slots after a time, up to and with another: the newest of them, in
// order. It looks back over more and more time until there are enough, so that it takes neither the
// time nor the memory of all.
func (c Calendar) Last(after, upTo time.Time, limit int) []time.Time {
	if upTo.After(c.until) {
		upTo = c.until
	}
	if after.Before(c.after) {
		after = c.after
	}
	if limit <= 0 {
		return nil
	}
	for back := time.Hour; ; back *= 2 {
		from := upTo.Add(-back)
		all := back > longestEvery || !from.After(after)
		if all {
			from = after
		}
		if slots := c.newest(from, upTo, limit); all || len(slots) == limit {
			return slots
		}
	}
}

// newest goes through all slots of a time and keeps the last.
func (c Calendar) newest(after, upTo time.Time, limit int) []time.Time {
	var slots []time.Time
	for slot := c.Next(after); !slot.IsZero() && !slot.After(upTo); slot = c.Next(slot) {
		if len(slots) == 2*limit { // moved once in a while, not for each
			slots = append(slots[:0], slots[limit:]...)
		}
		slots = append(slots, slot)
	}
	return slots[max(0, len(slots)-limit):]
}

// Count counts the slots after a time, up to and with another, and stops at limit.
func (c Calendar) Count(after, upTo time.Time, limit int) int {
	n := 0
	for slot := c.Next(after); n < limit && !slot.IsZero() && !slot.After(upTo); slot = c.Next(slot) {
		n++
	}
	return n
}
