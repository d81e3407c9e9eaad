package program

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

const reportEvery = 10 * time.Second

// report says every ten seconds how the build stands, until stopped.
func (p Program) report(progress io.Writer, packages *lineCounter) (stop func()) {
	began, ticks, done := time.Now(), time.NewTicker(reportEvery), make(chan struct{})
	var reporter sync.WaitGroup
	reporter.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-ticks.C:
				fmt.Fprintf(progress, "building %s: %s, %d packages (the first time %s, later seconds)\n",
					p.Title, time.Since(began).Round(time.Second), packages.count(), p.Takes)
			}
		}
	})
	return func() {
		ticks.Stop()
		close(done)
		reporter.Wait()
	}
}

// lineCounter counts the lines of "go build -v", one a package, and keeps them for the
// error message.
type lineCounter struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lineCounter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lineCounter) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.text.Bytes(), []byte("\n"))
}

func (l *lineCounter) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return LastLines(l.text.Bytes())
}

// LastLines is as much of a log as fits an error message.
func LastLines(log []byte) string {
	const size = 3000
	if len(log) <= size {
		return string(log)
	}
	log = log[len(log)-size:]
	if _, whole, found := bytes.Cut(log, []byte("\n")); found {
		log = whole
	}
	return string(log)
}
