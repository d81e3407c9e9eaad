package gitrepo

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// onto is a commit on top of main.
func onto(base string, files map[string]string) Commit {
	c := edit(base, files)
	c.Branch, c.Advances = "main", true
	return c
}

// A branch of people's moves on by a commit, whose parent it was, and that once.
func TestPushAdvancesABranch(t *testing.T) {
	for _, transport := range []string{"http", "ssh", "file"} {
		t.Run(transport, func(t *testing.T) {
			o, m, base := mirrored(t)
			s := o.ssh("")
			remote := map[string]Remote{
				"http": o.http(),
				"ssh":  {URL: s.url(), Auth: auth(t, s.secret(), s.url())},
				"file": {URL: "file://" + o.bare()},
			}[transport]
			first, err := Push(t.Context(), m.dir, remote, onto(base, map[string]string{"dir/sub/c.txt": "c2\n"}))
			if err != nil {
				t.Fatal(err)
			}
			if parent := o.git(o.bare(), "rev-parse", "main^"); o.at("main") != first || parent != base {
				t.Errorf("main is at %s on %s, want %s on %s", o.at("main"), parent, first, base)
			}
			o.git(o.bare(), "fsck", "--strict", "--full")

			// The answer was lost, and it is tried again on what was fetched before.
			again := onto(base, map[string]string{"dir/sub/c.txt": "c2\n"})
			again.Time = again.Time.Add(time.Hour)
			if id, err := Push(t.Context(), m.dir, remote, again); err != nil || id != first || o.at("main") != first {
				t.Errorf("the same again is %s (%v), main is at %s, want %s", id, err, o.at("main"), first)
			}

			// Something else on the base that main has left: it is to be made anew on the new one.
			other := onto(base, map[string]string{"dir/sub/c.txt": "c3\n"})
			if _, err := Push(t.Context(), m.dir, remote, other); kindOf(err) != Moved || o.at("main") != first {
				t.Errorf("%v (%s), main is at %s, want %s", err, kindOf(err), o.at("main"), first)
			}
			other.Replaces = first // which is of no use here
			if _, err := Push(t.Context(), m.dir, remote, other); kindOf(err) != Moved || o.at("main") != first {
				t.Errorf("%v (%s), main is at %s, want %s", err, kindOf(err), o.at("main"), first)
			}
			must(t, m, remote, Want{Branch: "main"})
			second, err := Push(t.Context(), m.dir, remote, onto(first, map[string]string{"dir/sub/c.txt": "c3\n"}))
			if err != nil || o.at("main") != second || o.git(o.bare(), "rev-parse", "main^") != first {
				t.Errorf("%v, main is at %s, want %s on %s", err, o.at("main"), second, first)
			}
		})
	}
}

// A branch of people's is never replaced, whoever was there, and never made or deleted.
func TestPushNeverReplacesWhatItAdvances(t *testing.T) {
	o, m, base := mirrored(t)
	remote := o.http()
	mine := onto(base, map[string]string{"a.txt": "mine\n"})

	theirs := o.commit("main", map[string]string{"a.txt": "theirs\n"})
	if _, err := Push(t.Context(), m.dir, remote, mine); kindOf(err) != Moved || !Moved.Temporary() || o.at("main") != theirs {
		t.Errorf("a newer main: %v (%s), it is at %s, want %s", err, kindOf(err), o.at("main"), theirs)
	}
	older := o.git(o.bare(), "rev-parse", base+"^")
	o.git(o.bare(), "update-ref", "refs/heads/main", older)
	if _, err := Push(t.Context(), m.dir, remote, mine); kindOf(err) != Moved || o.at("main") != older {
		t.Errorf("main was set back: %v (%s), it is at %s, want %s", err, kindOf(err), o.at("main"), older)
	}
	o.git(o.bare(), "update-ref", "refs/heads/main", base)
	backend := o.backend()
	moving := Remote{URL: serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "receive-pack") {
			o.git(o.bare(), "update-ref", "refs/heads/main", theirs)
		}
		backend.ServeHTTP(w, r)
	}))}
	if _, err := Push(t.Context(), m.dir, moving, mine); kindOf(err) != Moved || o.at("main") != theirs {
		t.Errorf("main moved meanwhile: %v (%s), it is at %s, want %s", err, kindOf(err), o.at("main"), theirs)
	}

	mine.Branch = "candidates"
	if _, err := Push(t.Context(), m.dir, remote, mine); kindOf(err) != ReferenceNotFound || o.at("candidates") != "" {
		t.Errorf("%v (%s), the branch is at %q", err, kindOf(err), o.at("candidates"))
	}
	if err := DeleteBranch(t.Context(), remote, "main", theirs); kindOf(err) != Invalid || o.at("main") != theirs {
		t.Errorf("main was deleted: %v", err)
	}
	for _, branch := range []string{proposed, "sluice", "sluice/", "", "-main", "a/-b", "a..b", "main.lock", "refs/../main", "ma in", "main\n", strings.Repeat("a", longestBranch+1)} {
		mine.Branch = branch
		if _, err := Push(t.Context(), m.dir, remote, mine); kindOf(err) != Invalid {
			t.Errorf("%q: %v (%s)", branch, err, kindOf(err))
		}
	}

	o.hook("pre-receive", "echo main is protected >&2; exit 1")
	o.git(o.bare(), "update-ref", "refs/heads/main", base)
	_, err := Push(t.Context(), m.dir, remote, onto(base, map[string]string{"a.txt": "x"}))
	if kindOf(err) != Refused || !strings.Contains(err.Error(), "push to it") || o.at("main") != base {
		t.Errorf("%v (%s)", err, kindOf(err))
	}
}
