package render_test

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/render"
)

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.MkdirAll(dir+"/d", 0o755), os.WriteFile(dir+"/a.txt", []byte("a"), 0o644), os.WriteFile(dir+"/d/b.txt", []byte("b"), 0o644)); err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("new"), 100)
	tree := render.Replace(os.DirFS(dir).(agent.Tree), map[string][]byte{"d/b.txt": content})
	got, err := tree.ReadFile("d/b.txt")
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%q, %v", got, err)
	}
	got[0] = 'X' // a reader's own copy
	info, err := tree.Lstat("d/b.txt")
	if err != nil || info.Size() != 300 || content[0] != 'n' {
		t.Errorf("%v, %v", info, err)
	}
	f, err := tree.Open("d/b.txt")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != 300 {
		t.Errorf("%v, %v", info, err)
	}
	if other, err := tree.ReadFile("a.txt"); string(other) != "a" || err != nil {
		t.Errorf("%q, %v", other, err)
	}
}
