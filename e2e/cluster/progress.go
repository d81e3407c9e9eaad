package cluster

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

const reportEvery = 10 * time.Second

// report says every ten seconds how the build stands, until stopped.
func report(progress io.Writer, packages *lineCounter) (stop func()) {
	began, ticks, done := time.Now(), time.NewTicker(reportEvery), make(chan struct{})
	var reporter sync.WaitGroup
	reporter.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-ticks.C:
				fmt.Fprintf(progress, "building the control plane: %s, %d packages (the first time about 8 minutes and 2,700 packages on two cores, later seconds)\n",
					time.Since(began).Round(time.Second), packages.count())
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
	return lastLines(l.text.Bytes())
}

// lastLines is as much of a log as fits an error message.
func lastLines(log []byte) string {
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
