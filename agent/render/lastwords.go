package render

import (
	"bytes"
	"strings"
	"sync"
)

// lastWords keeps what a worker says about its own crash: Go writes a line that begins with
// one of these, and then the stacks.
type lastWords struct {
	mu   sync.Mutex
	line []byte // the line that is being written
	why  string
}

var beginnings = []string{"panic: ", "fatal error: ", "runtime: out of memory", "runtime: cannot allocate memory", "runtime: VirtualAlloc"}

// longestLine is how much of a line is kept.
const longestLine = 500

// Write looks for the reason in what is said.
func (l *lastWords) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, part := range bytes.Split(b, []byte("\n")) {
		if n > 0 {
			l.look()
			l.line = l.line[:0]
		}
		if room := longestLine - len(l.line); room > 0 {
			l.line = append(l.line, part[:min(room, len(part))]...)
		}
	}
	return len(b), nil
}

// look takes the first line that gives a reason, and else the last that was said.
func (l *lastWords) look() {
	if isReason(l.why) || len(l.line) == 0 {
		return
	}
	l.why = string(l.line)
}

func isReason(line string) bool {
	for _, beginning := range beginnings {
		if strings.HasPrefix(line, beginning) {
			return true
		}
	}
	return false
}

// reason returns why the worker ended, if it said so.
func (l *lastWords) reason() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.look()
	if l.why == "" {
		return "it did not say why"
	}
	return l.why
}

// outOfMemory tells whether a reason is that the kernel gave no more memory.
func outOfMemory(reason string) bool {
	return strings.Contains(reason, "out of memory") || strings.Contains(reason, "cannot allocate memory")
}
