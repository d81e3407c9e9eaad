package controller

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What is found out counts for its time, and a little longer while it is found out again; nobody waits,
// and nothing is asked twice at once.
func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all answers[string, int32]
		var asked, told atomic.Int32
		slow := time.Second
		ask := func() (int32, bool) {
			takes := slow
			return all.ask("x", func(int32) time.Duration { return time.Minute }, func() int32 {
				time.Sleep(takes)
				return asked.Add(1)
			}, func() { told.Add(1) })
		}
		want := func(what string, value int32, known bool, times int32) {
			t.Helper()
			synctest.Wait()
			if got, is := ask(); got != value || is != known || asked.Load() != times || told.Load() != times {
				t.Errorf("%s: %d, %v after %d times, told %d; want %d, %v after %d", what, got, is, asked.Load(), told.Load(), value, known, times)
			}
		}
		want("at first", 0, false, 0)
		want("while it is asked", 0, false, 0)
		time.Sleep(2 * time.Second)
		want("it is known", 1, true, 1)
		time.Sleep(time.Minute)
		want("its time is over, and it is asked again", 1, true, 1)
		time.Sleep(2 * time.Second)
		want("it has come again", 2, true, 2)
		slow = time.Hour
		time.Sleep(time.Minute)
		want("it takes long", 2, true, 2)
		time.Sleep(time.Minute)
		want("it takes too long", 2, false, 2)
		time.Sleep(2 * time.Hour)
		want("what came in time is too old", 3, false, 3)
		time.Sleep(2 * time.Hour)
	})
}

// What is remembered is bounded.
func TestAnswersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all answers[int, int]
		for n := range 10 * mostAnswers {
			all.ask(n, func(int) time.Duration { return time.Hour }, func() int { return n }, func() {})
			synctest.Wait()
		}
		if len(all.known) > mostAnswers {
			t.Errorf("%d are remembered", len(all.known))
		}
	})
}
