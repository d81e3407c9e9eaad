package render

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// However many renders take long, one that is quick finds a seat soon.
func TestSeatsForQuickRenders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSeats(2, 15*time.Second)
		putOff := 0
		for range 6 {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // what each takes, if it is let
				defer cancel()
				leave, err := s.take(ctx, func() { putOff++; cancel() })
				if err != nil {
					return
				}
				defer leave()
				<-ctx.Done()
			}()
		}
		synctest.Wait()
		time.Sleep(time.Minute) // the six have sat down, or were put off
		for range 20 {
			start := time.Now()
			leave, err := s.take(t.Context(), func() { t.Error("a quick render is put off") })
			if err != nil {
				t.Fatal(err)
			}
			if waited := time.Since(start); waited > 15*time.Second {
				t.Errorf("it waited %s for a seat", waited)
			}
			time.Sleep(10 * time.Millisecond)
			leave()
			time.Sleep(time.Second)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if putOff == 0 || s.aside || s.overdue != 0 || len(s.free) != 0 {
			t.Errorf("%d were put off; in the end %d seats are taken, %d by long renders, and one beside: %v", putOff, len(s.free), s.overdue, s.aside)
		}
	})
}
