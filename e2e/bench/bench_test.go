package bench_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/rig"
)

// setups by name, in the order they are measured.
var setups = []struct {
	name    string
	measure func(*bench)
}{
	{"1x1000", func(b *bench) { b.configMaps(shape{1, 1000}) }},
	{"200x5", func(b *bench) { b.configMaps(shape{200, 5}) }},
	{"1000x10", func(b *bench) { b.configMaps(shape{1000, 10}) }},
	{"history", func(b *bench) { b.history(20_000, 500, 100) }},
	{"replicas", func(b *bench) { b.replicas(60) }},
	{"platform", (*bench).platform},
	{"models", func(b *bench) { b.models(500) }},
	{"retrainings", func(b *bench) { b.retrainings(5000) }},
}

// bench is the measurement of one set-up.
type bench struct {
	*testing.T
	setup  string
	report *Report
}

// TestBenchmark measures; see the package's documentation. Nothing of what it measures makes it
// fail.
func TestBenchmark(t *testing.T) {
	file := os.Getenv("BENCH")
	if file == "" {
		t.Skip("BENCH names no file: use make bench")
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(rig.Root(t), file)
	}
	only := strings.FieldsFunc(os.Getenv("ONLY"), func(c rune) bool { return c == ',' || c == ' ' })
	for _, name := range only {
		if !slices.ContainsFunc(setups, func(s struct {
			name    string
			measure func(*bench)
		}) bool {
			return s.name == name
		}) {
			t.Fatalf("ONLY: there is no set-up %s", name)
		}
	}
	report := &Report{Time: time.Now(), Machine: thisMachine()}
	for _, s := range setups {
		if len(only) == 0 || slices.Contains(only, s.name) {
			t.Run(s.name, func(t *testing.T) { s.measure(&bench{t, s.name, report}) })
		}
	}
	if err := report.write(file); err != nil {
		t.Fatal(err)
	}
	fmt.Println()
	report.table(os.Stdout)
	fmt.Printf("\nwritten to %s\n", file)
}

// add takes in a result. The calls behind it go to the file that $BENCH_CALLS names, if it does.
func (b *bench) add(scenario string, r Result) {
	r.Setup, r.Scenario = b.setup, scenario
	b.report.Results = append(b.report.Results, r)
	fmt.Fprintf(os.Stderr, "%s: %s: live %s, converged %s, %d calls, %d renders\n", b.setup, scenario, seconds(r.Live), seconds(r.Converged), r.Calls.All, r.Renders)
	if file := os.Getenv("BENCH_CALLS"); file != "" {
		out, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			b.Fatal(err)
		}
		defer out.Close()
		fmt.Fprintf(out, "\n== %s: %s\n%s", b.setup, scenario, r.calls)
	}
}

// configMaps is the everyday life of a repository that has nothing but ConfigMaps, so that what
// is measured is not theirs.
func (b *bench) configMaps(size shape) {
	s := newStage(b.T, cluster.Options{}, size.files())
	floor := newFloor(b.T, s.Cluster.Config(), s.repo.URL, floorNamespace)
	var dirs []string
	for o := range size.overlays {
		dirs = append(dirs, overlayName(o))
		s.overlay(overlayName(o), overlayName(o))
	}

	b.add("first apply", s.firstApply().against(floor.do(memoryOf(s.files), dirs, all)))
	last := size.overlays - 1
	b.add("one-line commit", repeated(5, func(n int) Result {
		o, n := n*last/4, n%size.objects
		return s.commit("one line", files{objectPath(o, n): object(o, n, fmt.Sprintf("blue %d", time.Now().UnixNano()))}).
			against(floor.do(memoryOf(under(s.files, dirs[o])), dirs[o:o+1], named(objectName(o, n))))
	}))
	b.add("commit elsewhere", repeated(3, func(n int) Result {
		return s.commit("nothing that an overlay reads", files{"README.md": fmt.Sprintf("# %d\n", n)})
	}))
	b.add("drift of one object", repeated(5, func(n int) Result {
		o, n := n*last/4, n%size.objects
		m := s.begin()
		s.drift(o, n)
		r := m.end()
		r.Converged = 0
		return r.against(Floor{Seconds: floor.do(memoryOf(under(s.files, dirs[o])), dirs[o:o+1], named(objectName(o, n))).Apply, Calls: 1})
	}))
	b.add("100 commits in 10 s", s.burst(100, 10*time.Second))
	b.add("60 resyncs", s.resync(60))
	b.add("30 s of quiet", s.quiet(30*time.Second))
	b.add("restart", s.restart())
}

// firstApply creates the Repository and the Overlays.
func (s *stage) firstApply() Result {
	s.T.Helper()
	m := s.begin()
	s.create()
	s.awaitSynced(s.head())
	m.converged = time.Now()
	return m.end()
}

// commit pushes and tells the agent, as a webhook would.
func (s *stage) commit(message string, changed files) Result {
	s.T.Helper()
	revision := s.push(message, changed)
	m := s.begin()
	s.notify()
	s.awaitSynced(revision)
	m.converged = time.Now()
	return m.end()
}

// burst has commits come one after the other, each told of: all change the same line.
func (s *stage) burst(commits int, within time.Duration) Result {
	s.T.Helper()
	m := s.begin()
	start := time.Now()
	revision := ""
	for n := range commits {
		time.Sleep(time.Until(start.Add(time.Duration(n) * within / time.Duration(commits))))
		revision = s.push(fmt.Sprintf("commit %d", n), files{objectPath(0, 0): object(0, 0, fmt.Sprintf("shade %d", n))})
		m.restart()
		s.notify()
	}
	s.awaitSynced(revision)
	m.converged = time.Now()
	if is, want := s.color(0, 0), fmt.Sprintf("shade %d", commits-1); is != want {
		s.T.Errorf("after %d commits the object says %s, want %s", commits, is, want)
	}
	return m.end()
}

// resync asks for a look at the Repository and at an Overlay, over and over, though nothing
// changes: a quiet hour has 60 looks at the remote.
func (s *stage) resync(times int) Result {
	s.T.Helper()
	m := s.begin()
	for n := range times {
		s.ask()
		s.askOverlay(s.overlays[n%len(s.overlays)].Name)
	}
	m.converged = m.notified.Add(time.Since(m.notified) / time.Duration(times))
	return m.end()
}

// quiet lets time go by.
func (s *stage) quiet(long time.Duration) Result {
	s.T.Helper()
	m := s.begin()
	time.Sleep(long)
	r := m.end()
	r.Converged = 0
	return r
}

// restart kills the agent and starts it again. It has converged when it has looked at every
// Overlay.
func (s *stage) restart() Result {
	s.T.Helper()
	s.KillAgent()
	m := s.begin()
	s.StartAgent()
	s.ask() // which is answered by an agent that serves its metrics
	s.Eventually("all Overlays have been looked at", func() (bool, string) {
		seen := int(s.Metric("sluice_pass_seconds"))
		return seen >= len(s.overlays), fmt.Sprintf("%d of %d", seen, len(s.overlays))
	})
	m.converged = time.Now()
	return m.end()
}
