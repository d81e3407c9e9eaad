package gitrepo

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// readAll reads every regular file of a tree.
func readAll(t testing.TB, tree fs.FS) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := fs.ReadFile(tree, name)
		files[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestFetchFollowsABranch(t *testing.T) {
	o := seeded(t)
	m, remote := newMirror(t), o.http()
	first := must(t, m, remote, Want{Branch: "main"})
	if got, want := first.Revision.String(), "main@sha1:"+o.head(); got != want || !first.Changed || first.Bytes == 0 {
		t.Fatalf("got %+v, want %s", first, want)
	}
	if first.Revision.Subject != "change main" || first.Revision.Time.IsZero() {
		t.Errorf("revision %+v", first.Revision)
	}
	o.sameAsGit(m, first.Revision.Commit)

	if again := must(t, m, remote, Want{Branch: "main"}); again.Changed || again.Bytes != 0 || again.Revision != first.Revision {
		t.Errorf("nothing changed, got %+v", again)
	}
	for i := range 5 {
		o.commit("main", map[string]string{"a.txt": strings.Repeat("x", i+1), "dir/new.txt": "n"})
		next := must(t, m, remote, Want{Branch: "main"})
		if !next.Changed || next.Revision.Commit != o.head() {
			t.Fatalf("got %+v", next)
		}
		o.sameAsGit(m, next.Revision.Commit)
	}
	o.sameAsGit(m, first.Revision.Commit)
}

// rewrite cases change the remote's history in ways in which what we tell the server about
// ours is not true. Bitmaps make servers leave out all that the history of a commit holds.
func TestFetchSurvivesRewrittenHistory(t *testing.T) {
	type step = func(o *origin, first string) string
	cases := map[string]step{
		"a revert": func(o *origin, first string) string {
			return o.commit("main", map[string]string{"a.txt": "a1\n", "dir/sub/c.txt": "c1\n"})
		},
		"a reset to a commit before the mirror began": func(o *origin, first string) string {
			o.git(o.work, "push", "-q", "-f", "origin", first+":main")
			return first
		},
		"a force push": func(o *origin, first string) string {
			o.git(o.work, "reset", "-q", "--hard", first)
			return o.commit("main", map[string]string{"d.txt": "d\n"})
		},
		"a branch of unrelated history": func(o *origin, first string) string {
			o.git(o.work, "checkout", "-q", "--orphan", "other")
			return o.commit("main", map[string]string{"d.txt": "d\n"})
		},
		"a merge of a branch from before the mirror began": func(o *origin, first string) string {
			o.git(o.work, "checkout", "-q", "-b", "old", first)
			o.write(map[string]string{"d.txt": "d\n"})
			o.git(o.work, "add", "-A")
			o.git(o.work, "commit", "-q", "-m", "old")
			o.git(o.work, "checkout", "-q", "main")
			o.git(o.work, "merge", "-q", "--no-ff", "-m", "merge", "old")
			return o.commit("main", nil)
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			o := seeded(t)
			first := o.head()
			for i := range 5 {
				o.commit("main", map[string]string{"a.txt": strings.Repeat("a", i+2), "dir/sub/c.txt": strings.Repeat("c", i+2)})
			}
			last := o.commit("main", nil)
			o.git(o.bare(), "repack", "-adbq")
			m, remote := newMirror(t), o.http()
			must(t, m, remote, Want{Branch: "main"})

			changed := change(o, first)
			o.git(o.bare(), "repack", "-adbq")
			f := must(t, m, remote, Want{Branch: "main"})
			if f.Revision.Commit != changed {
				t.Errorf("at %s, want %s", f.Revision, changed)
			}
			o.sameAsGit(m, changed)
			o.sameAsGit(m, last)
		})
	}
}

func TestFetchStopsAnIncrementThatIsLargerThanAClone(t *testing.T) {
	o := seeded(t)
	m, remote := newMirror(t), o.http()
	first := must(t, m, remote, Want{Branch: "main"})
	// Ten commits that each replace incompressible files by others: the history is larger
	// than the last commit and than the budget.
	for range 10 {
		noise := make([]byte, 2<<20)
		rand.Read(noise)
		o.commit("main", map[string]string{"noise": string(noise)})
	}
	f := must(t, m, remote, Want{Branch: "main"})
	if f.Bytes > 2<<20+minBudget+1<<20 {
		t.Errorf("transferred %d bytes, want the budget and a clone at most", f.Bytes)
	}
	o.sameAsGit(m, f.Revision.Commit)
	o.sameAsGit(m, first.Revision.Commit)
}

// without hides capabilities of a server, as older servers do.
func without(next http.Handler, capabilities ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			next.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		body := rec.Body.String()
		for _, c := range capabilities {
			// The length of the line has to stay.
			body = strings.ReplaceAll(body, " "+c+" ", " x"+c[1:]+" ")
		}
		w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
		io.WriteString(w, body)
	})
}

// refusing answers with an error of Git when a request holds some text.
func refusing(next http.Handler, text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if bytes.Contains(body, []byte(text)) {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
			line := "ERR this server does not do " + text
			fmt.Fprintf(w, "%04x%s", len(line)+4, line)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

func TestFetchFromServersThatDoLess(t *testing.T) {
	servers := map[string]func(http.Handler) http.Handler{
		"no shallow capability":  func(h http.Handler) http.Handler { return without(h, "shallow") },
		"refuses to be shallow":  func(h http.Handler) http.Handler { return refusing(h, "deepen") },
		"no sideband":            func(h http.Handler) http.Handler { return without(h, "side-band", "side-band-64k") },
		"no deltas by offset":    func(h http.Handler) http.Handler { return without(h, "ofs-delta") },
		"refuses to be told":     func(h http.Handler) http.Handler { return refusing(h, "have ") },
		"no symref, no progress": func(h http.Handler) http.Handler { return without(h, "symref=HEAD:refs/heads/main", "no-progress") },
	}
	for name, server := range servers {
		t.Run(name, func(t *testing.T) {
			o := seeded(t)
			o.commit("main", map[string]string{"a.txt": strings.Repeat("a long line\n", 1000)})
			m, remote := newMirror(t), Remote{URL: serve(t, server(o.backend()))}
			o.sameAsGit(m, must(t, m, remote, Want{Branch: "main"}).Revision.Commit)
			o.commit("main", map[string]string{"a.txt": strings.Repeat("a long line\n", 999)})
			o.sameAsGit(m, must(t, m, remote, Want{}).Revision.Commit)
		})
	}
}

func TestFetchEveryKindOfReference(t *testing.T) {
	o := seeded(t)
	first := o.head()
	o.git(o.work, "tag", "v1.0.0")
	second := o.commit("main", map[string]string{"a.txt": "2"})
	o.git(o.work, "tag", "-a", "-m", "annotated", "v1.2.0")
	o.git(o.work, "tag", "-a", "-m", "of a tag", "twice", "v1.2.0")
	o.git(o.work, "tag", "v2.0.0-rc.1")
	third := o.commit("feature/x", map[string]string{"a.txt": "3"})
	o.git(o.work, "tag", "v10.0.0")
	o.git(o.work, "tag", "not-a-version")
	o.git(o.work, "tag", "tree", "HEAD^{tree}")
	o.git(o.work, "push", "-q", "origin", "--tags", "HEAD:refs/pull/1/head", first+":refs/heads/--upload-pack=touch,x", first+":refs/heads/$(touch)`x`;x")
	o.git(o.bare(), "repack", "-adbq")

	type want struct {
		Want
		name, commit string
		kind         Kind
	}
	cases := map[string]want{
		"the default branch":    {Want{}, "main", second, ""},
		"HEAD by name":          {Want{Name: "HEAD"}, "main", second, ""},
		"a branch":              {Want{Branch: "feature/x"}, "feature/x", third, ""},
		"a lightweight tag":     {Want{Tag: "v1.0.0"}, "v1.0.0", first, ""},
		"an annotated tag":      {Want{Tag: "v1.2.0"}, "v1.2.0", second, ""},
		"a tag of a tag":        {Want{Tag: "twice"}, "twice", second, ""},
		"a range":               {Want{SemVer: ">=1.0.0 <2.0.0"}, "v1.2.0", second, ""},
		"any version":           {Want{SemVer: "*"}, "v10.0.0", third, ""},
		"a range with previews": {Want{SemVer: "~2.0.0-0"}, "v2.0.0-rc.1", second, ""},
		"a pull request":        {Want{Name: "refs/pull/1/head"}, "refs/pull/1/head", third, ""},
		"a commit at a tip":     {Want{Commit: third}, "", third, ""},
		"a commit on a branch":  {Want{Commit: first, Branch: "main"}, "main", first, ""},
		"a commit anywhere":     {Want{Commit: first}, "", first, ""},
		"commit before name":    {Want{Commit: first, Name: "refs/heads/main"}, "", first, ""},
		"name before range":     {Want{Name: "refs/heads/feature/x", SemVer: "1.0.0"}, "refs/heads/feature/x", third, ""},
		"range before tag":      {Want{SemVer: "1.0.0", Tag: "v1.2.0"}, "v1.0.0", first, ""},
		"tag before branch":     {Want{Tag: "v1.0.0", Branch: "main"}, "v1.0.0", first, ""},
		"a hostile branch":      {Want{Branch: "--upload-pack=touch,x"}, "--upload-pack=touch,x", first, ""},
		"a more hostile branch": {Want{Branch: "$(touch)`x`;x"}, "$(touch)`x`;x", first, ""},
		"no such branch":        {Want{Branch: "nope"}, "", "", ReferenceNotFound},
		"an injection":          {Want{Branch: "main\n0000"}, "", "", ReferenceNotFound},
		"a path":                {Want{Branch: "../heads/main"}, "", "", ReferenceNotFound},
		"no such tag":           {Want{Tag: "main"}, "", "", ReferenceNotFound},
		"no such name":          {Want{Name: "refs/pull/2/head"}, "", "", ReferenceNotFound},
		"an incomplete name":    {Want{Name: "main"}, "", "", Invalid},
		"a range without a tag": {Want{SemVer: ">100"}, "", "", ReferenceNotFound},
		"no range":              {Want{SemVer: "one or two"}, "", "", Invalid},
		"a short commit":        {Want{Commit: first[:7]}, "", "", Invalid},
		"an option as commit":   {Want{Commit: "--upload-pack=touch"}, "", "", Invalid},
		"a commit that is not":  {Want{Commit: strings.Repeat("ab", 20)}, "", "", ReferenceNotFound},
		"a tag that is a tree":  {Want{Tag: "tree"}, "", "", ReferenceNotFound},
		"no commit on a branch": {Want{Commit: strings.Repeat("ab", 20), Branch: "main"}, "", "", ReferenceNotFound},
		"no commit, no branch":  {Want{Commit: strings.Repeat("ab", 20), Branch: "gone"}, "", "", ReferenceNotFound},
	}
	remotes := map[string]Remote{"http": o.http(), "file": {URL: "file://" + o.bare()}, "work tree": {URL: "file://" + o.work}}
	s := o.ssh("")
	remotes["ssh"] = Remote{URL: s.url(), Auth: auth(t, s.secret(), s.url())}
	shared := newMirror(t)
	for protocol, remote := range remotes {
		for name, want := range cases {
			if protocol == "work tree" && (want.Branch != "main" || want.kind != "") {
				continue // it has other references
			}
			t.Run(protocol+"/"+name, func(t *testing.T) {
				for _, m := range []*Mirror{newMirror(t), shared} {
					f, err := m.Fetch(t.Context(), remote, want.Want)
					if got := kindOf(err); got != want.kind {
						t.Fatalf("got %v (%s), want %q", err, got, want.kind)
					}
					if f.Revision.Commit != want.commit || f.Revision.Name != want.name {
						t.Errorf("got %s, want %s of %s", f.Revision, want.commit, want.name)
					}
					if err == nil {
						o.sameAsGit(m, want.commit)
					}
				}
			})
		}
	}
}

func TestFetchUnadvertisedCommitDirectly(t *testing.T) {
	o := seeded(t)
	o.git(o.bare(), "config", "uploadpack.allowReachableSHA1InWant", "true")
	first := o.head()
	noise := make([]byte, 1<<20)
	rand.Read(noise)
	o.commit("main", map[string]string{"noise": string(noise)})
	m := newMirror(t)
	f := must(t, m, o.http(), Want{Commit: first})
	if f.Bytes > 10<<10 {
		t.Errorf("%d bytes for one small commit", f.Bytes)
	}
	o.sameAsGit(m, first)
}

func TestFetchPinnedCommitNeedsNoRemote(t *testing.T) {
	o := seeded(t)
	m := newMirror(t)
	must(t, m, o.http(), Want{Branch: "main"})
	f := must(t, m, Remote{URL: "https://127.0.0.1:1/repo.git"}, Want{Commit: o.head(), Branch: "main"})
	if f.Changed || f.Revision.String() != "main@sha1:"+o.head() {
		t.Errorf("got %+v", f)
	}
}

func TestFetchAsksOnceWhenNothingChanged(t *testing.T) {
	o := seeded(t)
	var requests atomic.Int64
	m, remote := newMirror(t), Remote{URL: serve(t, counted(o.backend(), &requests))}
	must(t, m, remote, Want{Branch: "main"})
	for want, change := range map[int64]bool{1: false, 2: true} {
		if change {
			o.commit("main", map[string]string{"a.txt": "2"})
		}
		requests.Store(0)
		must(t, m, remote, Want{Branch: "main"})
		if got := requests.Load(); got != want {
			t.Errorf("%d requests, want %d (changed: %v)", got, want, change)
		}
	}
}

func TestDeletedBranchLeavesTheMirror(t *testing.T) {
	o := seeded(t)
	for i := range 8 {
		o.git(o.work, "push", "-q", "origin", fmt.Sprintf("HEAD:refs/heads/b%d", i))
	}
	m, remote := newMirror(t), o.http()
	f := must(t, m, remote, Want{Branch: "main"})
	o.git(o.bare(), "symbolic-ref", "HEAD", "refs/heads/b0")
	o.git(o.work, "push", "-q", "origin", ":main")
	_, err := m.Fetch(t.Context(), remote, Want{Branch: "main"})
	if kindOf(err) != ReferenceNotFound || !strings.Contains(err.Error(), `branch "main" does not exist on the remote (it has: b0, b1, b2, b3, b4 and 3 more)`) {
		t.Errorf("got %v", err)
	}
	o.sameAsGit(m, f.Revision.Commit)
}

// Azure DevOps refuses clients that do not ask for multi_ack; here a proxy plays its part.
func TestFetchAsksAzureForMultiACK(t *testing.T) {
	o := seeded(t)
	azure := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method == http.MethodPost && !bytes.Contains(body, []byte("multi_ack")) {
			http.Error(w, "multi_ack", http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		o.backend().ServeHTTP(w, r)
	})
	proxy, err := ReadProxy(data("address", strings.TrimSuffix(serve(t, azure), "/repo.git")))
	if err != nil {
		t.Fatal(err)
	}
	m := newMirror(t)
	for i := range 3 {
		o.commit("main", map[string]string{"a.txt": fmt.Sprint(i)})
		f := must(t, m, Remote{URL: "http://dev.azure.com/repo.git", Proxy: proxy}, Want{Branch: "main"})
		o.sameAsGit(m, f.Revision.Commit)
	}
}
