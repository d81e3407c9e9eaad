package bench_test

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster"
)

// history is a repository with many commits and files, of which the Overlays read few.
func (b *bench) history(commits, dirs, each int) {
	size := shape{20, 5}
	s := newStage(b.T, cluster.Options{}, nil)
	s.files = size.files()
	b.fill(s.repo.Dir, s.files, commits, dirs, each)
	floor := newFloor(b.T, s.Cluster.Config(), s.repo.URL, floorNamespace)
	var all20 []string
	for o := range size.overlays {
		all20 = append(all20, overlayName(o))
		s.overlay(overlayName(o), overlayName(o))
	}
	b.add("first apply", s.firstApply().against(floor.do(memoryOf(s.files), all20, all)))
	b.add("one-line commit", repeated(5, func(o int) Result {
		return s.commit("one line", files{objectPath(o, 0): object(o, 0, fmt.Sprintf("blue %d", time.Now().UnixNano()))}).
			against(floor.do(memoryOf(under(s.files, all20[o])), all20[o:o+1], named(objectName(o, 0))))
	}))
	b.add("commit elsewhere", repeated(5, func(n int) Result {
		return s.commit("nothing that an overlay reads", files{fmt.Sprintf("d%03d/f000.yaml", n): fmt.Sprintf("n: %d\n", n)})
	}))
	b.add("restart", s.restart())
}

// fill makes the history by git fast-import: a first commit with all files, and further ones
// that change one file each.
func (b *bench) fill(repo string, content files, commits, dirs, each int) {
	b.Helper()
	git := func(arguments ...string) *exec.Cmd {
		cmd := exec.Command("git", arguments...)
		cmd.Dir, cmd.Stderr = repo, os.Stderr
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1"}
		return cmd
	}
	load := git("fast-import", "--quiet", "--date-format=raw")
	stdin, err := load.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := load.Start(); err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(stdin, 1<<20) // what cannot be written fails the program, which tells
	commit := func(n int) {
		message := fmt.Sprintf("commit %d", n)
		fmt.Fprintf(w, "commit refs/heads/main\ncommitter Bench <bench@example.com> %d +0000\ndata %d\n%s\n", 1_700_000_000+n*600, len(message), message)
	}
	file := func(path, text string) { fmt.Fprintf(w, "M 100644 inline %s\ndata %d\n%s\n", path, len(text), text) }
	commit(0)
	for _, path := range slices.Sorted(maps.Keys(content)) {
		file(path, content[path])
	}
	other := func(d, f, n int) {
		file(fmt.Sprintf("d%03d/f%03d.yaml", d, f), fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: d%d-f%d\ndata:\n  revision: \"%d\"\n", d, f, n))
	}
	for d := range dirs {
		for f := range each {
			other(d, f, 0)
		}
	}
	for n := 1; n < commits; n++ {
		commit(n)
		other(n%dirs, n/dirs%each, n)
	}
	_ = w.Flush() // see above
	_ = stdin.Close()
	if err := load.Wait(); err != nil {
		b.Fatal(err)
	}
	if err := git("repack", "-adq").Run(); err != nil { // as a forge would
		b.Fatal(err)
	}
}
