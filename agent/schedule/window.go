package schedule

import (
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// Window is a time that begins at each slot of a schedule and lasts.
type Window struct {
	Schedule
	lasts time.Duration
}

// ParseWindow reads a window.
func ParseWindow(w v1alpha1.Window) (Window, error) {
	s, err := Parse(w.Cron, w.TimeZone)
	if err != nil {
		return Window{}, err
	}
	if w.Duration.Duration <= 0 {
		return Window{}, fmt.Errorf("the duration %s is no time: write how long the window lasts, for instance 8h", w.Duration.Duration)
	}
	return Window{s, w.Duration.Duration}, nil
}

// State is whether a window is open at a time.
type State struct {
	Open bool
	// Until is when that changes. Where windows follow on each other too closely for an end to be
	// found, it is a time until which nothing changes, and More is set: ask again then.
	Until time.Time
	More  bool
}

const (
	// manyWindows is how many windows in a row are looked at: all minutes of a day and more.
	manyWindows = 1500
	// farAhead is how far ahead an end is looked for.
	farAhead = 400 * 24 * time.Hour
)

// State says whether the window is open at a time. It is open from its beginning up to, and not
// including, its end.
func (w Window) State(now time.Time) State {
	slot := w.Next(now.Add(-w.lasts)) // the first window that is not over
	if slot.IsZero() || slot.After(now) {
		return State{Until: slot}
	}
	for range manyWindows {
		end := slot.Add(w.lasts)
		next := w.Next(slot)
		if next.IsZero() || next.After(end) {
			return State{Open: true, Until: end}
		}
		if end.Sub(now) > farAhead {
			break
		}
		slot = next
	}
	return State{Open: true, Until: slot.Add(w.lasts), More: true}
}
