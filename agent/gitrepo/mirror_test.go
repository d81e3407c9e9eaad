package gitrepo

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDamagedMirrorIsReplaced(t *testing.T) {
	overwrite := func(pattern string, with func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			files, _ := filepath.Glob(filepath.Join(dir, pattern))
			if len(files) == 0 {
				t.Fatalf("no %s", pattern)
			}
			for _, file := range files {
				content, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				os.Remove(file)
				if content = with(content); content != nil {
					os.WriteFile(file, content, 0o600)
				}
			}
		}
	}
	gone := func([]byte) []byte { return nil }
	half := func(b []byte) []byte { return b[:len(b)/2] }
	empty := func([]byte) []byte { return []byte{} }
	noise := func(b []byte) []byte { return bytes.Repeat([]byte{0xa5}, len(b)) }
	const packs, indexes, tips = "*.git/objects/pack/*.pack", "*.git/objects/pack/*.idx", "*.git/tips"
	damages := map[string]func(*testing.T, string){
		"pack gone": overwrite(packs, gone), "pack cut": overwrite(packs, half), "pack empty": overwrite(packs, empty), "pack noise": overwrite(packs, noise),
		"index gone": overwrite(indexes, gone), "index cut": overwrite(indexes, half), "index empty": overwrite(indexes, empty), "index noise": overwrite(indexes, noise),
		"tips gone": overwrite(tips, gone), "tips cut": overwrite(tips, half), "tips empty": overwrite(tips, empty), "tips noise": overwrite(tips, noise),
		"everything gone": func(t *testing.T, dir string) { os.RemoveAll(dir); os.Mkdir(dir, 0o700) },
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			o := seeded(t)
			m := newMirror(t)
			remote := Remote{URL: "file://" + o.bare()}
			f := must(t, m, remote, Want{Branch: "main"})
			damage(t, m.dir)

			// Whoever reads first may fail, saying that it will pass; nobody panics.
			if tree, err := OpenTree(m.dir, f.Revision.Commit); err == nil {
				tree.ReadFile("dir/sub/c.txt")
				tree.Close()
			} else if !kindOf(err).Temporary() {
				t.Errorf("got %v (%s)", err, kindOf(err))
			}
			again, err := Open(m.dir)
			if err != nil {
				t.Fatal(err)
			}
			must(t, again, remote, Want{Branch: "main"})
			o.sameAsGit(again, f.Revision.Commit)
			o.commit("main", map[string]string{"a.txt": "2"})
			o.sameAsGit(again, must(t, again, remote, Want{Branch: "main"}).Revision.Commit)
		})
	}
}

func TestOneDamagedFileIsMendedAfterItWasRead(t *testing.T) {
	o := seeded(t)
	noise := strings.Repeat("some text that is long enough to be hit\n", 500)
	commit := o.commit("main", map[string]string{"big.txt": noise})
	m, remote := newMirror(t), o.http()
	must(t, m, remote, Want{Branch: "main"})
	packs, _ := filepath.Glob(filepath.Join(m.dir, "*.git/objects/pack/*.pack"))
	p := m.gen.store.packs[0]
	tree, err := OpenTree(m.dir, commit)
	if err != nil {
		t.Fatal(err)
	}
	entry, _ := tree.lookup("big.txt")
	offset, _ := p.find(entry.id)
	os.Chmod(packs[0], 0o600)
	f, err := os.OpenFile(packs[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte("garbage"), offset+10)
	f.Close()

	if _, err := tree.ReadFile("big.txt"); kindOf(err) != NotFetched {
		t.Errorf("got %v (%s)", err, kindOf(err))
	}
	must(t, m, remote, Want{Branch: "main"})
	o.sameAsGit(m, commit)
}

// A mirror can lose the packs of older commits, which the newest still needs.
func TestLostPackIsMended(t *testing.T) {
	for _, change := range []bool{false, true} {
		o := seeded(t)
		m, remote := newMirror(t), o.http()
		must(t, m, remote, Want{Branch: "main"})
		first, _ := filepath.Glob(filepath.Join(m.dir, "*.git/objects/pack/*.idx"))
		commit := o.commit("main", map[string]string{"a.txt": "2"})
		must(t, m, remote, Want{Branch: "main"})
		os.Remove(first[0])

		again, err := Open(m.dir)
		if err != nil {
			t.Fatal(err)
		}
		if change {
			commit = o.commit("main", map[string]string{"dir/b.txt": "2"})
		} else if tree, err := OpenTree(m.dir, commit); err == nil {
			if _, err := tree.ReadFile("dir/b.txt"); kindOf(err) != NotFetched {
				t.Errorf("got %v", err)
			}
		}
		must(t, again, remote, Want{Branch: "main"})
		if change {
			// What the two commits share was taken for granted; reading finds out.
			if tree, err := OpenTree(m.dir, commit); err == nil {
				tree.ReadFile("dir/sub/c.txt")
			}
			must(t, again, remote, Want{Branch: "main"})
		}
		o.sameAsGit(again, commit)
	}
}

func TestOpenRemovesWhatACrashLeft(t *testing.T) {
	o := seeded(t)
	m, remote := newMirror(t), o.http()
	f := must(t, m, remote, Want{Branch: "main"})
	generation := generations(m.dir)[0]
	leftovers := []string{
		filepath.Join(m.dir, "new-123", "objects", "pack", "tmp_pack_1"),
		filepath.Join(packDir(generation), "tmp_pack_2"),
		filepath.Join(generation, "tmp_3"),
		filepath.Join(packDir(generation), "pack-0000000000000000000000000000000000000000.pack"),
	}
	for _, name := range leftovers {
		os.MkdirAll(filepath.Dir(name), 0o700)
		os.WriteFile(name, []byte("PACK"), 0o600)
	}
	again, err := Open(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	if next := must(t, again, remote, Want{Branch: "main"}); next.Changed {
		t.Errorf("fetched again: %+v", next)
	}
	o.sameAsGit(again, f.Revision.Commit)
	for _, name := range leftovers[:3] {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestMirrorStaysBounded(t *testing.T) {
	o := seeded(t)
	var stream strings.Builder
	const commits = 2*maxPacks + 20
	for i := range commits {
		content := fmt.Sprintf("content %d\n", i)
		fmt.Fprintf(&stream, "commit refs/heads/history\ncommitter c <c@example.com> %d +0000\ndata 1\nx\n", 1700000000+i)
		if i == 0 {
			fmt.Fprintf(&stream, "from %s\n", o.head())
		}
		fmt.Fprintf(&stream, "M 100644 inline a.txt\ndata %d\n%s\n", len(content), content)
	}
	input := filepath.Join(t.TempDir(), "stream")
	os.WriteFile(input, []byte(stream.String()), 0o600)
	o.git(o.bare(), "-c", "alias.load=!git fast-import --quiet <"+input, "load")
	history := strings.Fields(o.git(o.bare(), "rev-list", "--reverse", "history"))[1:]

	m, remote := newMirror(t), Remote{URL: "file://" + o.bare()}
	first := must(t, m, remote, Want{Branch: "main"})
	reader, err := OpenTree(m.dir, first.Revision.Commit)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for _, commit := range history {
		os.WriteFile(filepath.Join(o.bare(), "refs/heads/main"), []byte(commit+"\n"), 0o600)
		if f := must(t, m, remote, Want{Branch: "main"}); f.Revision.Commit != commit {
			t.Fatalf("got %s, want %s", f.Revision, commit)
		}
		if n := len(m.gen.store.packs); n > maxPacks+1 {
			t.Fatalf("%d packs", n)
		}
	}
	if left := generations(m.dir); len(left) != 2 || filepath.Base(left[0]) != "000003.git" {
		t.Errorf("generations %v", left)
	}
	if files := readAll(t, reader); files["a.txt"] != "a1\n" || len(files) != 3 {
		t.Errorf("the reader from before sees %v", files)
	}
	if _, err := OpenTree(m.dir, first.Revision.Commit); kindOf(err) != NotFetched {
		t.Errorf("got %v", err)
	}
	for _, commit := range history[len(history)-maxPacks:] {
		tree, err := OpenTree(m.dir, commit)
		if err != nil {
			t.Fatalf("a recent commit: %v", err)
		}
		tree.Close()
	}
	o.git(o.work, "fetch", "-q", "origin")
	o.sameAsGit(m, history[len(history)-1])
}

func TestReadersWhileFetching(t *testing.T) {
	o := seeded(t)
	m, remote := newMirror(t), o.http()
	commits := make(chan string, 100)
	commits <- must(t, m, remote, Want{Branch: "main"}).Revision.Commit
	done := make(chan struct{})
	go func() {
		defer close(done)
		for commit := range commits {
			for range 20 {
				if tree, err := OpenTree(m.dir, commit); err != nil {
					t.Error(err)
				} else if _, err := tree.ReadFile("dir/sub/c.txt"); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	for i := range 15 {
		o.commit("main", map[string]string{"a.txt": fmt.Sprint(i)})
		commits <- must(t, m, remote, Want{Branch: "main"}).Revision.Commit
	}
	close(commits)
	<-done
}

func TestFetchTakesTurns(t *testing.T) {
	o := seeded(t)
	m, remote := newMirror(t), o.http()
	if err := m.lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Fetch(ctx, remote, Want{}); !errors.Is(err, context.Canceled) || kindOf(err) != Timeout {
		t.Errorf("got %v", err)
	}
	m.unlock()
	must(t, m, remote, Want{})
}

func TestEmptyRepository(t *testing.T) {
	o := newOrigin(t)
	s := o.ssh("")
	for _, remote := range []Remote{o.http(), {URL: "file://" + o.bare()}, {URL: s.url(), Auth: auth(t, s.secret(), s.url())}} {
		m := newMirror(t)
		if _, err := m.Fetch(t.Context(), remote, Want{Branch: "main"}); kindOf(err) != Empty {
			t.Errorf("%s: got %v (%s)", remote.URL, err, kindOf(err))
		}
	}
	o.commit("main", map[string]string{"a": "1"})
	o.sameAsGit(func() *Mirror { m := newMirror(t); must(t, m, o.http(), Want{}); return m }(), o.head())
}

// rawEntry is an object of a pack with any size in its head.
func rawEntry(kind byte, size uint64, content []byte) []byte {
	b := []byte{kind<<4 | byte(size&15)}
	for size >>= 4; size > 0; size >>= 7 {
		b[len(b)-1] |= 0x80
		b = append(b, byte(size&0x7f))
	}
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	w.Write(content)
	w.Close()
	return append(b, z.Bytes()...)
}

func rawPack(count uint32, entries ...[]byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), count)
	for _, e := range entries {
		b = append(b, e...)
	}
	sum := sha1.Sum(b)
	return append(b, sum[:]...)
}

func TestReceiveRefusesBadPacks(t *testing.T) {
	const blob, refDelta = 3, 7
	good := rawPack(1, rawEntry(blob, 5, []byte("hello")))
	// A delta of a few bytes that says it makes a terabyte.
	delta := binary.AppendUvarint(binary.AppendUvarint(nil, 5), 1<<40)
	bomb := rawEntry(refDelta, uint64(len(delta)), delta)
	bomb = append(append(bomb[:1:1], make([]byte, idSize)...), bomb[1:]...)
	cases := map[string]struct {
		pack  []byte
		limit int64
		kind  Kind
	}{
		"good":                    {good, maxPack, ""},
		"of no objects":           {rawPack(0), maxPack, ""},
		"nothing":                 {nil, maxPack, Network},
		"cut":                     {good[:len(good)-25], maxPack, Network},
		"cut in the checksum":     {good[:len(good)-5], maxPack, Network},
		"flipped":                 {append(append([]byte{}, good[:20]...), append([]byte{good[20] ^ 1}, good[21:]...)...), maxPack, Network},
		"html":                    {[]byte("<html>please log in</html>"), maxPack, Network},
		"too many objects":        {rawPack(1<<32-1, rawEntry(blob, 5, []byte("hello"))), maxPack, Network},
		"too large":               {good, 20, TooLarge},
		"huge object":             {rawPack(1, rawEntry(blob, 1<<40, []byte("hello"))), maxPack, TooLarge},
		"more than it says":       {rawPack(1, rawEntry(blob, 5, make([]byte, 1<<20))), maxPack, Network},
		"less than it says":       {rawPack(1, rawEntry(blob, 5000, []byte("hello"))), maxPack, Network},
		"huge result of a delta":  {rawPack(1, bomb), maxPack, TooLarge},
		"delta without base":      {rawPack(1, append(append([]byte{refDelta<<4 | 3}, make([]byte, idSize)...), rawEntry(blob, 3, []byte{5, 5, 1})[1:]...)), maxPack, Network},
		"delta with wrong offset": {rawPack(1, append([]byte{6<<4 | 3, 0x7f}, rawEntry(blob, 3, []byte{5, 5, 1})[1:]...)), maxPack, Network},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := createGeneration(dir); err != nil {
				t.Fatal(err)
			}
			index, _, err := receive(t.Context(), dir, bytes.NewReader(c.pack), c.limit)
			if kindOf(err) != c.kind {
				t.Fatalf("got %v (%s), want %q", err, kindOf(err), c.kind)
			}
			files, _ := os.ReadDir(packDir(dir))
			if want := map[bool]int{true: 2, false: 0}[index != ""]; len(files) != want {
				t.Errorf("%d files are left, want %d", len(files), want)
			}
		})
	}
}

func TestTruncatedTransfer(t *testing.T) {
	o := seeded(t)
	o.commit("main", map[string]string{"big.txt": strings.Repeat("text that compresses well\n", 1000)})
	cut := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		o.backend().ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		if r.Method == http.MethodPost {
			body = body[:len(body)*2/3]
		}
		w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
		w.Write(body)
	})
	m := newMirror(t)
	if _, err := m.Fetch(t.Context(), Remote{URL: serve(t, cut)}, Want{Branch: "main"}); kindOf(err) != Network {
		t.Errorf("got %v (%s)", err, kindOf(err))
	}
	if left, _ := os.ReadDir(m.dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	must(t, m, o.http(), Want{Branch: "main"})
}

func TestServersThatAnswerNonsense(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", code) }
	}
	cases := map[string]struct {
		handler http.HandlerFunc
		kind    Kind
	}{
		"a page":          {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>please log in</html>") }, Network},
		"nothing":         {func(http.ResponseWriter, *http.Request) {}, Network},
		"an error of git": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "0020ERR repository not found\n...") }, NotFound},
		"another error":   {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "001bERR \x1b[31mno time now\n..") }, Refused},
		"internal error":  {status(500), Network},
		"unavailable":     {status(503), Network},
		"too many":        {status(429), Network},
		"teapot":          {status(418), Refused},
		"gone":            {status(410), Refused},
		"redirect to file": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, Refused},
		"redirect circle": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) }, Refused},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			id := strings.Repeat("ab", 20)
			first := id + " HEAD\x00agent=x\n"
			fmt.Fprintf(w, "%04x%s", len(first)+4, first)
			line := "0045" + id + " refs/heads/%012d\n"
			for i := 0; ; i++ {
				if _, err := fmt.Fprintf(w, line, i); err != nil {
					return
				}
			}
		}, TooLarge},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := newMirror(t).Fetch(t.Context(), Remote{URL: serve(t, c.handler)}, Want{Branch: "main"})
			if kindOf(err) != c.kind || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("got %v (%s), want %s", err, kindOf(err), c.kind)
			}
			t.Log(err)
		})
	}
}

func TestHostileCommitMessage(t *testing.T) {
	o := seeded(t)
	file := filepath.Join(t.TempDir(), "message")
	os.WriteFile(file, []byte("\x1b[2Jhello\x07 "+strings.Repeat("x", 10000)+"\n\nbody"), 0o600)
	o.git(o.work, "commit", "-q", "--allow-empty", "--cleanup=verbatim", "-F", file)
	o.git(o.work, "push", "-q", "origin", "HEAD:main")
	f := must(t, newMirror(t), o.http(), Want{Branch: "main"})
	if s := f.Revision.Subject; len(s) > 300 || strings.ContainsAny(s, "\x1b\x07\n") || !strings.Contains(s, "hello") {
		t.Errorf("subject %q", s)
	}
}
