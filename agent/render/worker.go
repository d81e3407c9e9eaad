package render

import (
	"bufio"
	"encoding/gob"
	"errors"
	"io"
	"log"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"time"

	"github.com/sluice-dev/sluice/agent"
)

// Source is where the files are: a commit in a mirror, or a working directory if Commit is
// empty.
type Source struct {
	Dir    string
	Commit string
}

// Request is one render.
type Request struct {
	Source Source
	Spec   Spec
	// Part of the overlay to render; all of it if zero.
	Part Part `json:",omitzero"`
	// Replaced are files that have other content than in the source.
	Replaced map[string][]byte `json:",omitempty"`
}

// question is what a worker is asked: to render, or to divide.
type question struct {
	Request Request
	Divide  bool
}

// answer is what it says.
type answer struct {
	Result Result
	Split  Split
	Error  *Error
}

// exitMemory is how a worker ends when it has reached its limit of memory.
const exitMemory = 97

// Serve is the loop of a worker: it reads requests and writes answers until in ends, which
// also ends it in the middle of a render. Open returns the files of a source. Serve changes
// the process it runs in for good; the caller has nothing else to do in it.
func Serve(in io.Reader, out io.Writer, limits Limits, open func(Source) (agent.Tree, error)) error {
	if err := confine(limits); err != nil {
		return err
	}
	questions, ended := make(chan question), make(chan error, 1)
	go func() {
		for decoder := gob.NewDecoder(in); ; {
			var q question
			if err := decoder.Decode(&q); err != nil {
				ended <- err
				return
			}
			questions <- q
		}
	}()
	go func() { ended <- answerAll(questions, out, limits, open) }()
	if err := <-ended; !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// idleAfter is when a worker gives memory back to the system. To do it after every render would
// take longer than most renders.
const idleAfter = 500 * time.Millisecond

// answerAll answers one after the other.
func answerAll(questions <-chan question, out io.Writer, limits Limits, open func(Source) (agent.Tree, error)) error {
	writer := bufio.NewWriter(out)
	answers := gob.NewEncoder(writer)
	for {
		var q question
		select {
		case q = <-questions:
		case <-time.After(idleAfter):
			debug.FreeOSMemory() // the next may be hours away
			q = <-questions
		}
		enough := guard(uint64(limits.Memory))
		a := serve(q, limits, open)
		enough()
		if err := answers.Encode(a); err != nil {
			return err
		}
		if err := writer.Flush(); err != nil {
			return err
		}
	}
}

func serve(q question, limits Limits, open func(Source) (agent.Tree, error)) answer {
	r := q.Request
	tree, err := open(r.Source)
	if err != nil {
		return answer{Error: &Error{Kind: Unavailable, Message: "the files of the commit cannot be read: " + err.Error()}}
	}
	if c, ok := tree.(io.Closer); ok {
		defer c.Close()
	}
	if len(r.Replaced) > 0 {
		tree = Replace(tree, r.Replaced)
	}
	if q.Divide {
		return answer{Split: Divide(tree, r.Spec, limits)}
	}
	result, err := Run(tree, r.Spec, r.Part, limits)
	if err == nil {
		return answer{Result: result}
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Kind: Invalid, Message: err.Error()}
	}
	return answer{Result: result, Error: e}
}

// confine takes from this process what a render has no need of: commands (there
// is no PATH), standard error except for crashes, and memory beyond the limit. Of the last
// there are two guards: one that ends the process in a way that says why (see guard), and the
// kernel's limit on data, well above, for what grows faster than that one looks.
func confine(limits Limits) error {
	if err := os.Unsetenv("PATH"); err != nil {
		return err
	}
	if nowhere, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		os.Stderr = nowhere // Kustomize's warnings; Go writes the reason of a crash all the same
		log.SetOutput(nowhere)
	}
	// When memory is short in the container, the kernel should end a worker, not the agent.
	// Where there is no such file, it chooses by size, which is mostly the same.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	debug.SetGCPercent(400) // a render is short: less collecting is a third of the time
	debug.SetMemoryLimit(limits.Memory / 10 * 8)
	hard := uint64(limits.Memory)*2 + dataOfGo
	// Where the kernel has no such limit, the watchman is all there is.
	_ = syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: hard, Max: hard})
	return nil
}

// dataOfGo is what the kernel counts of a Go program besides its heap: stacks, the collector's
// marks, and memory that is mapped in pieces of 64 MiB.
const dataOfGo = 256 << 20

// guard ends the process when its heap gets too large, until it is told that it is enough. What it
// measures includes garbage that was not found yet, but near the limit the collector runs all the
// time.
func guard(most uint64) (enough func()) {
	done := make(chan struct{})
	go func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			metrics.Read(sample)
			if sample[0].Value.Uint64() > most {
				os.Exit(exitMemory)
			}
		}
	}()
	return func() { close(done) }
}
