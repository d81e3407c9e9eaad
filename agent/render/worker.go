package render

import (
	"bufio"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
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
}

// answer is what a worker says to a request.
type answer struct {
	Set   agent.Set
	Error *Error
}

// exitMemory is how a worker ends when it has reached its limit of memory.
const exitMemory = 97

// Serve is the loop of a worker: it reads requests and writes answers until in ends. Open
// returns the files of a source.
func Serve(in io.Reader, out io.Writer, limits Limits, open func(Source) (agent.Tree, error)) error {
	confine(limits)
	requests, writer := gob.NewDecoder(in), bufio.NewWriter(out)
	answers := gob.NewEncoder(writer)
	for {
		var r Request
		if err := requests.Decode(&r); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := answers.Encode(serve(r, limits, open)); err != nil {
			return err
		}
		if err := writer.Flush(); err != nil {
			return err
		}
	}
}

func serve(r Request, limits Limits, open func(Source) (agent.Tree, error)) answer {
	tree, err := open(r.Source)
	if err != nil {
		return answer{Error: &Error{Kind: Unavailable, Message: err.Error()}}
	}
	if c, ok := tree.(io.Closer); ok {
		defer c.Close()
	}
	set, err := Render(tree, r.Spec, limits)
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			return answer{Error: e}
		}
		return answer{Error: &Error{Kind: Invalid, Message: err.Error()}}
	}
	return answer{Set: set}
}

// Render builds and prepares in one step.
func Render(tree agent.Tree, spec Spec, limits Limits) (agent.Set, error) {
	rendered, err := Build(tree, spec, limits)
	if err != nil {
		return agent.Set{}, err
	}
	set, err := Prepare(tree, rendered, spec.Owner)
	if err != nil {
		return agent.Set{}, err
	}
	var size int64
	for _, o := range set.Objects {
		size += int64(len(o.JSON))
	}
	if size > limits.Output {
		return agent.Set{}, &Error{Kind: Limit, Message: fmt.Sprintf("%d bytes of objects are more than the limit of %d: split the overlay, or raise --render-output", size, limits.Output)}
	}
	return set, nil
}

// confine limits the memory of this process. Two guards: a watchman that ends the process
// in a way that says why, and the kernel's limit on data, well above, for what grows faster
// than a watchman looks.
func confine(limits Limits) {
	debug.SetGCPercent(400) // a render is short: less collecting is a third of the time
	debug.SetMemoryLimit(limits.Memory / 10 * 8)
	hard := uint64(limits.Memory) * 2
	// Where the kernel has no such limit, the watchman is all there is.
	_ = syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: hard, Max: hard})
	go watch(uint64(limits.Memory))
}

func watch(most uint64) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	for {
		metrics.Read(sample)
		if sample[0].Value.Uint64() > most {
			os.Exit(exitMemory)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
