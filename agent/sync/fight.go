package sync

import (
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/agent"
)

// A fight is somebody changing an object back each time drift is corrected. After
// fightRounds corrections within fightWindow Sluice steps back, for a time that doubles with
// every further round: two controllers that write in turn would otherwise do so for ever.
const (
	fightRounds   = 5
	fightWindow   = 10 * time.Minute
	fightPause    = time.Minute
	fightMaxPause = time.Hour
)

// fight remembers the corrections of one object.
type fight struct {
	rounds int
	last   time.Time
	detail string // which fields, and who changed them
}

// corrected returns the fight after one more correction.
func (f fight) corrected(now time.Time, detail string) fight {
	if now.Sub(f.last) > fightWindow+f.pause() {
		f = fight{}
	}
	return fight{rounds: f.rounds + 1, last: now, detail: detail}
}

// pause is how long the next correction waits.
func (f fight) pause() time.Duration {
	if f.rounds < fightRounds {
		return 0
	}
	pause := fightPause << min(f.rounds-fightRounds, 10)
	return min(pause, fightMaxPause)
}

// until is the time of the next correction; zero if it need not wait.
func (f fight) until(now time.Time) time.Time {
	next := f.last.Add(f.pause())
	if f.pause() == 0 || !now.Before(next) {
		return time.Time{}
	}
	return next
}

// waiting tells which objects are fought over, why, and when the next try is due.
func waiting(fights map[agent.Ref]fight, now time.Time) (map[agent.Ref]string, time.Duration) {
	found := map[agent.Ref]string{}
	var soonest time.Duration
	for ref, f := range fights {
		next := f.until(now)
		if next.IsZero() {
			continue
		}
		found[ref] = fmt.Sprintf("it was corrected %d times and changed back each time (%s): stop the other side or leave the field to it with spec.ignore; the next try is at %s",
			f.rounds, f.detail, next.UTC().Format(time.TimeOnly))
		if wait := next.Sub(now); soonest == 0 || wait < soonest {
			soonest = wait
		}
	}
	return found, soonest
}
