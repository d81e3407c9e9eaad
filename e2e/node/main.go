package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Names of environment variables by which the processes of one run know what they are.
const (
	stageVariable  = "SLUICE_NODE_STAGE"
	cgroupVariable = "SLUICE_NODE_CGROUP"
)

// The stages after the first one, which is the process that `go test` started.
const (
	stageProbe = "probe" // finds out whether the namespaces can be made
	stageInit  = "init"  // process 1 of the namespaces
	stageTests = "tests" // the tests themselves, in the namespaces
)

// prepareTimeout bounds what is done before the tests start, which includes building the
// control plane from source.
const prepareTimeout = 30 * time.Minute

var errUnavailable = errors.New("no real node: TestMain has to call node.Main")

// Unavailable tells why a real node cannot run here. It is nil where one can.
func Unavailable() error { return errUnavailable }

// Needs are what the tests need that is built from modules: these can be downloaded before the
// tests start, and no more then.
type Needs struct {
	// Programs are the main packages of this module that the tests make images of.
	Programs []string
	// Build builds what else they start, into the cache; nil for nothing.
	Build func(ctx context.Context, progress io.Writer) (string, error)
}

// Main runs the tests on a machine of their own and returns the exit code.
func Main(tests func() int, needs Needs) int {
	switch os.Getenv(stageVariable) {
	case stageProbe:
		return probe()
	case stageInit:
		return beInit()
	case stageTests:
		errUnavailable = nil
		return tests()
	}
	ctx, cancel := context.WithTimeout(context.Background(), prepareTimeout)
	defer cancel()
	m, err := newMachine()
	if err != nil {
		errUnavailable = fmt.Errorf("no real node: %w", err)
		return tests()
	}
	code, err := m.run(ctx, needs)
	if errors.Is(err, errImpossible) {
		errUnavailable = err
		return tests()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		return max(code, 1)
	}
	return code
}

// errImpossible is what keeps a real node from running that is no fault of this program.
var errImpossible = errors.New("no real node")

// run has the tests run in namespaces, and removes what is left of them.
func (m machine) run(ctx context.Context, needs Needs) (code int, err error) {
	defer func() { err = errors.Join(err, m.remove()) }()
	code, err = m.enter(stageProbe)
	if err != nil {
		return code, fmt.Errorf("%w: %w", errImpossible, err)
	}
	if code != 0 {
		return code, fmt.Errorf("%w: namespaces cannot be furnished here, as said above", errImpossible)
	}
	if err := install(ctx, os.Stderr); err != nil {
		return 1, fmt.Errorf("%w: %w", errImpossible, err)
	}
	if err := needs.compile(ctx); err != nil {
		return 1, err
	}
	before := look()
	defer func() {
		if left := before.differences(look()); len(left) > 0 {
			err = errors.Join(err, fmt.Errorf("the machine is not as it was: %s", strings.Join(left, "; ")))
		}
	}()
	return m.enter(stageInit)
}

// cgroupPrefix begins the name of the cgroup that a run makes on the machine; the process id
// of the run's first process follows.
const cgroupPrefix = "sluice-node-"

// home is where a run keeps its files. It lies in memory: in the namespaces, /run does.
const home = "/run/sluice-node"

// inside is a path below home.
func inside(elements ...string) string {
	return filepath.Join(append([]string{home}, elements...)...)
}
