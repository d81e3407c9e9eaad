package render_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/render"
)

// workerLimits are those that workers of the tests are started with.
var workerLimits = render.Limits{Memory: 1 << 30, Time: time.Minute, Output: 64 << 20, Objects: 30_000}

// TestMain makes the test binary a render worker too, and an agent with a pool.
func TestMain(m *testing.M) {
	switch os.Getenv("HOME") + strings.Join(os.Args[1:], "") {
	case "/nonexistentworker":
		if err := render.Serve(os.Stdin, os.Stdout, workerLimits, openTest); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) == 3 && os.Args[1] == "agent" {
		agentProcess(os.Args[2])
	}
	os.Exit(m.Run())
}

// openTest opens a directory, or does what the name of the source asks for.
func openTest(s render.Source) (agent.Tree, error) {
	switch s.Commit {
	case "":
		root, err := os.OpenRoot(s.Dir)
		if err != nil {
			return nil, err
		}
		return root.FS().(agent.Tree), nil
	case "forever":
		select {}
	case "panic":
		panic("a bug of Kustomize")
	case "exit":
		os.Exit(3)
	case "allocate":
		var all [][]byte
		for {
			all = append(all, make([]byte, 1<<20))
			all[len(all)-1][0] = 1
			_ = all
		}
	case "at-once":
		huge := make([]byte, 64<<30)
		return nil, fmt.Errorf("got %d bytes", len(huge))
	case "environment":
		return nil, errors.New(strings.Join(os.Environ(), " "))
	case "git":
		_, err := exec.LookPath("git")
		return nil, fmt.Errorf("git: %w", err)
	case "stderr":
		fmt.Fprintln(os.Stderr, strings.Repeat("# Warning: deprecated\n", 10_000))
		return fstest.MapFS{}, nil
	case "unreadable":
		return unreadable{fstest.MapFS{"kustomization.yaml": {Data: []byte("resources: [a.yaml]\n")}, "a.yaml": {}}}, nil
	}
	return nil, errors.New("commit not found")
}

// unreadable is a tree of which a file cannot be read.
type unreadable struct{ fstest.MapFS }

func (u unreadable) ReadFile(name string) ([]byte, error) {
	if name == "a.yaml" {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("the mirror is damaged")}
	}
	return u.MapFS.ReadFile(name)
}

// agentProcess starts a render that never ends, says so, and waits to be killed.
func agentProcess(self string) {
	pool := render.NewPool([]string{self, "worker"}, 1, workerLimits)
	go func() {
		time.Sleep(500 * time.Millisecond)
		fmt.Println("rendering")
	}()
	_, err := pool.Render(context.Background(), render.Request{Source: render.Source{Commit: "forever"}})
	fmt.Println(err)
	os.Exit(1)
}
