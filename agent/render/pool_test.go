package render_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/render"
)

// underRace: the race detector watches.
var underRace bool

func self(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// newPool runs this test binary as workers, and checks at the end that none is left.
func newPool(t testing.TB, size int, limits render.Limits) *render.Pool {
	t.Helper()
	goroutines := runtime.NumGoroutine()
	pool := render.NewPool([]string{self(t), "worker"}, size, limits)
	t.Cleanup(func() {
		pool.Close()
		eventually(t, "workers of this process", func() bool { return len(childrenOf(os.Getpid())) == 0 })
		eventually(t, "goroutines of the pool", func() bool { return runtime.NumGoroutine() <= goroutines })
	})
	return pool
}

func eventually(t testing.TB, what string, gone func() bool) {
	t.Helper()
	for range 1500 { // machines that test are busy machines
		if gone() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("there still are %s", what)
}

// childrenOf lists the processes that a process started and that are workers.
func childrenOf(pid int) []string {
	var found []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		stat, _ := os.ReadFile(filepath.Join(dir, "stat"))
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if len(fields) > 1 && fields[1] == fmt.Sprint(pid) {
			if line, _ := os.ReadFile(filepath.Join(dir, "cmdline")); strings.HasSuffix(string(line), "\x00worker\x00") {
				found = append(found, filepath.Base(dir))
			}
		}
	}
	return found
}

func request(commit string) render.Request {
	return render.Request{Source: render.Source{Commit: commit}, Spec: render.Spec{Path: ".", Owner: owner}}
}

// good is a request for a small tree.
func good(t testing.TB) render.Request {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := request("")
	r.Source.Dir = dir
	return r
}

func mustRender(t testing.TB, pool *render.Pool, r render.Request) {
	t.Helper()
	set, err := pool.Render(t.Context(), r)
	if err != nil || len(set.Objects) != 1 {
		t.Fatalf("%d objects, %v", len(set.Objects), err)
	}
}

// Every scenario gives the same through workers as in process: sets and errors, one after the
// other in the same worker, whatever schema the one before has set.
func TestPoolRendersTheSame(t *testing.T) {
	pool := newPool(t, 1, workerLimits)
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := scenario(t, archive)
		if strings.Contains(file, "submodule") || strings.Contains(file, "bad-link") {
			continue // there are no submodules on a disk, and it is the disk that refuses some links
		}
		set, err := render.Render(s.tree, s.spec, render.DefaultLimits())
		again, errAgain := pool.Render(t.Context(), render.Request{Source: render.Source{Dir: onDiskCopy(t, s.tree)}, Spec: s.spec})
		if (err == nil) != (errAgain == nil) || err != nil && !reflect.DeepEqual(err, errAgain) {
			t.Errorf("%s: %v; by a worker: %v", file, err, errAgain)
		}
		if err == nil && !reflect.DeepEqual(set, again) {
			t.Errorf("%s: not the same by a worker", file)
		}
	}
}

// What goes wrong in a worker is told apart and explained, and the next render is not harmed.
func TestPoolFailures(t *testing.T) {
	pool := newPool(t, 1, workerLimits)
	for _, test := range []struct {
		commit string
		kind   render.Kind
		want   string
	}{
		{"allocate", render.Limit, "rendering took more memory than the limit of 1024 MiB: split the overlay, or raise --render-memory"},
		{"at-once", render.Limit, "rendering took more memory than the limit of 1024 MiB: split the overlay, or raise --render-memory"},
		{"panic", render.Crashed, "the render worker ended (exit status 2): panic: a bug of Kustomize"},
		{"exit", render.Crashed, "the render worker ended (exit status 3): it did not say why"},
		{"nope", render.Unavailable, "the files of the commit cannot be read: commit not found"},
		{"unreadable", render.Unavailable, "a.yaml: it cannot be read: the mirror is damaged"},
		{"environment", render.Unavailable, "the files of the commit cannot be read: TMPDIR=" + os.TempDir() + " HOME=/nonexistent"},
		{"git", render.Unavailable, `the files of the commit cannot be read: git: exec: "git": executable file not found in $PATH`},
	} {
		if underRace && test.kind == render.Limit {
			continue
		}
		_, err := pool.Render(t.Context(), request(test.commit))
		e, ok := errors.AsType[*render.Error](err)
		if !ok || e.Kind != test.kind || e.Error() != test.want {
			t.Errorf("%s: %v\nwant %s: %s", test.commit, err, test.kind, test.want)
		}
		if !render.Temporary(err) {
			t.Errorf("%s: not temporary", test.commit)
		}
		mustRender(t, pool, good(t))
	}
}

func TestPoolTime(t *testing.T) {
	limits := workerLimits
	limits.Time = time.Second
	pool := newPool(t, 1, limits)
	for range 2 {
		_, err := pool.Render(t.Context(), request("forever"))
		expect(t, "", err, render.Limit, "rendering took longer than the limit of 1s: split the overlay, or raise --render-timeout")
	}
}

// A worker that is killed from outside, as the kernel does when memory is short.
func TestPoolWorkerKilled(t *testing.T) {
	pool := newPool(t, 1, workerLimits)
	failed := make(chan error)
	go func() {
		_, err := pool.Render(context.Background(), request("forever"))
		failed <- err
	}()
	eventually(t, "no workers", func() bool { return len(childrenOf(os.Getpid())) == 1 })
	if err := exec.Command("kill", append([]string{"-9"}, childrenOf(os.Getpid())...)...).Run(); err != nil {
		t.Fatal(err)
	}
	want := "the render worker was killed, most likely because the memory of the container or machine is short: raise its limit, or lower --render-memory or --renders"
	if err := <-failed; err == nil || err.Error() != want {
		t.Error(err)
	}
	mustRender(t, pool, good(t))
}

// Warnings, however many, neither block a worker nor hide the reason of a crash.
func TestPoolWarnings(t *testing.T) {
	pool := newPool(t, 1, workerLimits)
	if _, err := pool.Render(t.Context(), request("stderr")); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Render(t.Context(), request("panic")); err == nil || !strings.HasSuffix(err.Error(), "panic: a bug of Kustomize") {
		t.Error(err)
	}
}

func TestPoolCancel(t *testing.T) {
	pool := newPool(t, 1, workerLimits)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	waiting := make(chan error)
	go func() {
		time.Sleep(100 * time.Millisecond)
		_, err := pool.Render(ctx, good(t)) // waits for the only seat
		waiting <- err
	}()
	start := time.Now()
	if _, err := pool.Render(ctx, request("forever")); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := <-waiting; !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %s to cancel", took)
	}
	mustRender(t, pool, good(t))
}

// Close ends what is at work, and what comes later does not start.
func TestPoolClose(t *testing.T) {
	pool := newPool(t, 2, workerLimits)
	failed := make(chan error)
	for range 3 { // two at work, one waits
		go func() {
			_, err := pool.Render(context.Background(), request("forever"))
			failed <- err
		}()
	}
	eventually(t, "no workers", func() bool { return len(childrenOf(os.Getpid())) == 2 })
	pool.Close()
	for range 3 {
		if err := <-failed; err == nil || err.Error() != "the agent is stopping" || !render.Temporary(err) {
			t.Error(err)
		}
	}
	if _, err := pool.Render(t.Context(), good(t)); err == nil || err.Error() != "the agent is stopping" {
		t.Error(err)
	}
}

func TestPoolParallel(t *testing.T) {
	pool := newPool(t, 3, workerLimits)
	r := good(t)
	var all sync.WaitGroup
	for n := range 30 {
		all.Go(func() {
			switch n % 10 {
			case 3:
				_, _ = pool.Render(context.Background(), request("panic"))
			case 7:
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
				defer cancel()
				_, _ = pool.Render(ctx, request("forever"))
			default:
				if set, err := pool.Render(context.Background(), r); err != nil || len(set.Objects) != 1 {
					t.Error(len(set.Objects), err)
				}
			}
		})
	}
	all.Wait()
	if n := len(childrenOf(os.Getpid())); n > 3 {
		t.Errorf("%d workers", n)
	}
}

// One render at a time needs one worker, however many are allowed.
func TestPoolKeepsOneWarm(t *testing.T) {
	pool := newPool(t, 3, workerLimits)
	for range 5 {
		mustRender(t, pool, good(t))
	}
	if n := len(childrenOf(os.Getpid())); n != 1 {
		t.Errorf("%d workers", n)
	}
}

// Workers that a rush has needed end when it is over, but for one.
func TestPoolSparesWorkers(t *testing.T) {
	pool := newPool(t, 3, workerLimits)
	var rush sync.WaitGroup
	for range 12 {
		rush.Go(func() { mustRender(t, pool, good(t)) })
	}
	rush.Wait()
	for n := len(childrenOf(os.Getpid())); n != 1; n = len(childrenOf(os.Getpid())) {
		if n == 0 || t.Context().Err() != nil {
			t.Fatalf("%d workers", n)
		}
		time.Sleep(50 * time.Millisecond)
	}
	mustRender(t, pool, good(t))
}

func TestPoolNoProgram(t *testing.T) {
	pool := render.NewPool([]string{"/nonexistent/sluice"}, 1, workerLimits)
	_, err := pool.Render(t.Context(), request(""))
	e, ok := errors.AsType[*render.Error](err)
	if !ok || e.Kind != render.Unavailable || e.Message != "no render worker could be started: fork/exec /nonexistent/sluice: no such file or directory" {
		t.Error(err)
	}
}

// An agent that is killed leaves no worker behind, also not one in the middle of a render.
func TestAgentKilled(t *testing.T) {
	cmd := exec.Command(self(t), "agent", self(t))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "rendering\n" {
		t.Fatal(line, err)
	}
	var workers []string
	eventually(t, "no workers", func() bool { workers = childrenOf(cmd.Process.Pid); return len(workers) == 1 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	eventually(t, "workers of an agent that is gone", func() bool {
		_, err := os.Stat("/proc/" + workers[0])
		return err != nil
	})
}

// Everything that a request may hold arrives at the worker.
func TestRequestTravels(t *testing.T) {
	pool := newPool(t, 1, workerLimits)
	r := good(t)
	r.Spec = render.Spec{
		Path: ".", TargetNamespace: "ns", NamePrefix: "a-", NameSuffix: "-z", Owner: agent.Owner{Namespace: "n", Name: "o"},
		CommonMetadata: render.CommonMetadata{Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"a": "${X}", "sluice.dev/substitute": "enabled"}},
		Patches:        []kustomize.Patch{{Patch: `[{"op": "add", "path": "/metadata/labels", "value": {"p": "2"}}]`, Target: &kustomize.Selector{}}},
		Substitute:     &render.Substitute{Variables: map[string]string{"X": "3"}},
	}
	set, err := pool.Render(t.Context(), r)
	if err != nil || len(set.Objects) != 1 {
		t.Fatal(len(set.Objects), err)
	}
	want := `{"apiVersion":"v1","kind":"Namespace","metadata":{"annotations":{"a":"3","sluice.dev/substitute":"enabled"},` +
		`"labels":{"l":"1","p":"2","sluice.dev/overlay":"o","sluice.dev/overlay-namespace":"n"},"name":"ns"}}`
	if got := string(set.Objects[0].JSON); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
