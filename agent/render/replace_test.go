package render_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"slices"
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
	if list, err := tree.ReadDir("d"); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if other, err := tree.ReadFile("a.txt"); string(other) != "a" || err != nil {
		t.Errorf("%q, %v", other, err)
	}
}

// A file that is new is there as others are.
func TestReplaceAdds(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.MkdirAll(dir+"/d/e", 0o755), os.WriteFile(dir+"/d/b.txt", []byte("b"), 0o644), os.WriteFile(dir+"/d/e/x.txt", nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	tree := render.Replace(os.DirFS(dir).(agent.Tree), map[string][]byte{"d/c.txt": []byte("new"), "d/a.txt": nil, "top.txt": []byte("t")})
	var all []string
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, name)
		}
		return err
	})
	if want := []string{"d/a.txt", "d/b.txt", "d/c.txt", "d/e/x.txt", "top.txt"}; err != nil || !slices.Equal(all, want) {
		t.Errorf("%v, %v, want %v", all, err, want)
	}
	if info, err := tree.Lstat("d/c.txt"); err != nil || info.Size() != 3 || !info.Mode().IsRegular() || info.Name() != "c.txt" {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := tree.Lstat("d/z.txt"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
