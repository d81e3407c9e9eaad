package task_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-dev/sluice/agent/task"
)

// watched are tasks that tell of each answer.
func watched(parallel int) (*task.Tasks[string, int], chan string) {
	done := make(chan string, 100)
	return &task.Tasks[string, int]{Parallel: parallel, Done: func(key string) { done <- key }}, done
}

func answer(n int, err error) func(context.Context) (int, error) {
	return func(context.Context) (int, error) { return n, err }
}

func TestAnAnswerIsTakenOnce(t *testing.T) {
	tasks, done := watched(0)
	if _, _, known := tasks.Ask("a", answer(1, nil)); known {
		t.Fatal("there is an answer before anything was done")
	}
	<-done
	if v, err, known := tasks.Ask("a", answer(2, nil)); v != 1 || err != nil || !known {
		t.Fatalf("the answer is %d, %v, %t", v, err, known)
	}
	if tasks.Under("a") {
		t.Fatal("the answer is kept after it was taken")
	}
	tasks.Ask("a", answer(3, errors.New("broken")))
	<-done
	if v, err, known := tasks.Ask("a", nil); v != 3 || err == nil || !known {
		t.Fatalf("the second answer is %d, %v, %t", v, err, known)
	}
}

func TestOnceAtATime(t *testing.T) {
	tasks, done := watched(0)
	var begun atomic.Int32
	held := make(chan struct{})
	for range 10 {
		if _, _, known := tasks.Ask("a", func(context.Context) (int, error) { <-held; return int(begun.Add(1)), nil }); known {
			t.Fatal("there is an answer while it is being done")
		}
	}
	close(held)
	<-done
	if n := begun.Load(); n != 1 {
		t.Fatalf("it was done %d times", n)
	}
}

func TestSeats(t *testing.T) {
	tasks, done := watched(2)
	var now, most atomic.Int32
	for _, key := range strings.Split("abcdefgh", "") {
		tasks.Ask(key, func(context.Context) (int, error) {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			now.Add(-1)
			return 0, nil
		})
	}
	for range 8 {
		<-done
	}
	if m := most.Load(); m > 2 {
		t.Fatalf("%d were done at once", m)
	}
}

func TestAPanicIsAnError(t *testing.T) {
	tasks, done := watched(0)
	tasks.Ask("a", func(context.Context) (int, error) { panic("oh") })
	<-done
	if _, err, known := tasks.Ask("a", nil); !known || err == nil || !strings.Contains(err.Error(), "oh") {
		t.Fatalf("the answer is %v, %t", err, known)
	}
}

func TestForgottenTasksEnd(t *testing.T) {
	tasks, done := watched(1)
	begun, ended := make(chan struct{}), make(chan struct{})
	tasks.Ask("a", func(ctx context.Context) (int, error) { close(begun); <-ctx.Done(); close(ended); return 0, ctx.Err() })
	<-begun
	tasks.Ask("b", answer(1, nil))
	tasks.Forget(func(key string) bool { return key == "a" })
	<-ended
	if key := <-done; key != "b" {
		t.Fatalf("told of %s", key)
	}
}

// One whose tasks do not end takes a quarter of the seats, and the others go on.
func TestNobodyTakesAllSeats(t *testing.T) {
	tasks, done := watched(8)
	tasks.Of = func(key string) string { return key[:1] }
	var stuck atomic.Int32
	held := make(chan struct{})
	defer close(held)
	for _, key := range strings.Split("a1 a2 a3 a4 a5 a6 a7 a8 a9", " ") {
		tasks.Ask(key, func(context.Context) (int, error) { stuck.Add(1); <-held; return 0, nil })
	}
	for _, key := range strings.Split("b1 b2 b3 b4 b5 b6 b7 b8 b9", " ") {
		tasks.Ask(key, answer(1, nil))
	}
	for range 9 {
		if key := <-done; key[:1] != "b" {
			t.Errorf("%s is done", key)
		}
	}
	if n := stuck.Load(); n > 2 {
		t.Errorf("%d of one were under way at once", n)
	}
}
