package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

func main() {
	// The kernel ends the agent when the thread that started it ends (see tether): this
	// keeps the thread for as long as the program runs.
	runtime.LockOSThread()

	once := flag.Bool("once", false, "play the story by itself, and fail if any step does")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once

	began := time.Now()
	err := run(ctx, *once)
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "\nThe demo failed: %v\n", err)
		os.Exit(1)
	case ctx.Err() != nil && *once:
		fmt.Fprintln(os.Stderr, "\nInterrupted before the end of the story. What was started is gone.")
		os.Exit(1)
	case ctx.Err() != nil:
		fmt.Println("\nStopped. What was started is gone.")
	default:
		fmt.Printf("\nAll of it held, in %.0f s. What was started is gone.\n", time.Since(began).Seconds())
	}
}

// run sets the stage, plays the story or its beginning, and clears the stage.
func run(ctx context.Context, once bool) (err error) {
	d, err := newDemo()
	if err != nil {
		return err
	}
	defer func() {
		if ctx.Err() != nil {
			err = nil // Ctrl-C ends the demo; whatever failed, failed because of it
		}
		err = errors.Join(err, d.end(err))
	}()

	inner, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	d.fail = fail
	if err := d.setUp(inner); err != nil {
		return err
	}
	if once {
		return d.play(inner, story)
	}
	if err := d.play(inner, opening); err != nil {
		return err
	}
	d.hint()
	return d.narrate(inner)
}
