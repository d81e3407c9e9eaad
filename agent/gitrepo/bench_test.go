package gitrepo

import (
	"fmt"
	"testing"
)

// large is an origin with many files and a history.
func large(b *testing.B, directories, files, commits int) *origin {
	b.Helper()
	o := newOrigin(b)
	content := map[string]string{}
	for d := range directories {
		for f := range files {
			content[fmt.Sprintf("overlays/d%d/f%d.yaml", d, f)] = fmt.Sprintf("kind: ConfigMap\nmetadata:\n  name: cm-%d-%d\ndata:\n  key: value\n", d, f)
		}
	}
	o.commit("main", content)
	for i := range commits {
		o.commit("main", map[string]string{"overlays/d0/f0.yaml": fmt.Sprintf("n: %d\n", i)})
	}
	o.git(o.bare(), "repack", "-adbq")
	return o
}

func BenchmarkClone(b *testing.B) {
	o := large(b, 500, 100, 5)
	remote := o.http()
	for b.Loop() {
		must(b, newMirror(b), remote, Want{Branch: "main"})
	}
}

func BenchmarkFetchUnchanged(b *testing.B) {
	o := seeded(b)
	m, remote := newMirror(b), o.http()
	must(b, m, remote, Want{Branch: "main"})
	for b.Loop() {
		must(b, m, remote, Want{Branch: "main"})
	}
}

func BenchmarkFetchOneMoreCommit(b *testing.B) {
	o := large(b, 500, 100, 5)
	m, remote := newMirror(b), o.http()
	must(b, m, remote, Want{Branch: "main"})
	var bytes int64
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		o.commit("main", map[string]string{"overlays/d0/f0.yaml": fmt.Sprintf("n: more %d\n", i)})
		b.StartTimer()
		bytes += must(b, m, remote, Want{Branch: "main"}).Bytes
	}
	b.ReportMetric(float64(bytes)/float64(b.N), "transferred-B/op")
}

func BenchmarkOpenTree(b *testing.B) {
	o := large(b, 500, 100, 0)
	m := newMirror(b)
	f := must(b, m, o.http(), Want{Branch: "main"})
	for b.Loop() {
		tree, err := OpenTree(m.dir, f.Revision.Commit)
		if err != nil {
			b.Fatal(err)
		}
		tree.Close()
	}
}

func BenchmarkReadFile(b *testing.B) {
	o := large(b, 500, 100, 0)
	m := newMirror(b)
	f := must(b, m, o.http(), Want{Branch: "main"})
	tree, err := OpenTree(m.dir, f.Revision.Commit)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		if _, err := tree.ReadFile(fmt.Sprintf("overlays/d%d/f%d.yaml", i%500, i/500%100)); err != nil {
			b.Fatal(err)
		}
	}
}
