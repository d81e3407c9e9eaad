package controller

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/trace"
)

// Which commit brought a version: those since have changed other things, which is no reason to take
// their approval for it.
func TestBackward(t *testing.T) {
	type commit map[string]string
	// The list says what is read beside it: so may a commit add a file, or take one away.
	at := func(version, image, also string) commit {
		return commit{"list": "model image " + also, "model": version, "image": image, "notes": "v1"}
	}
	with := func(c commit, path, content string) commit {
		c = maps.Clone(c)
		if c[path] = content; content == "" {
			delete(c, path)
		}
		return c
	}
	var long []commit
	for n := range farthest + 5 {
		long = append(long, at("v8", fmt.Sprint(n), ""))
	}
	for _, c := range []struct {
		name    string
		commits []commit // the newest first
		want    int      // of them brought the version
		err     string
		renders int
	}{
		{"the newest", []commit{at("v8", "1", ""), at("v7", "1", "")}, 0, "", 1},
		{"the only one there is", []commit{at("v8", "1", "")}, 0, "", 0},
		{"nothing that is read has changed since", []commit{with(at("v8", "1", ""), "notes", "v3"), with(at("v8", "1", ""), "notes", "v2"), at("v8", "1", ""), at("v7", "1", "")}, 2, "", 1},
		{"something that is read has changed since", []commit{at("v8", "3", ""), at("v8", "2", ""), at("v8", "1", ""), at("v7", "1", "")}, 2, "", 3},
		{"both, and back again", []commit{at("v8", "2", ""), at("v8", "1", ""), with(at("v8", "1", ""), "notes", "v2"), at("v8", "2", ""), at("v7", "2", ""), at("v8", "2", "")}, 3, "", 3},
		{"it was added with the version", []commit{with(at("v8", "1", "extra"), "extra", "x"), at("v7", "1", "")}, 0, "", 1},
		{"it was added after the version", []commit{with(at("v8", "1", "extra"), "extra", "x"), at("v8", "1", ""), at("v7", "1", "")}, 1, "", 2},
		{"what was taken away since cannot be looked at", []commit{at("v8", "1", ""), with(at("v8", "1", "extra"), "extra", "x"), at("v7", "1", "")}, 0, "", 1},
		{"the Model is new", []commit{at("v8", "1", ""), {"notes": "v1"}}, 0, "", 1},
		{"too far", long, 0, "v8 is older than the last 16 changes", farthest + 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			trees := make([]fstest.MapFS, len(c.commits))
			for n, files := range c.commits {
				trees[n] = fstest.MapFS{}
				for path, content := range files {
					trees[n][path] = &fstest.MapFile{Data: []byte(content)}
				}
			}
			has := func(replaced map[string][]byte) (string, trace.Trace, error) {
				tree := maps.Clone(trees[0])
				for path, content := range replaced {
					if tree[path] == nil {
						return "", trace.Trace{}, errors.New(path + " is not there, and nothing can be put in its place")
					}
					tree[path] = &fstest.MapFile{Data: content}
				}
				r := trace.New(tree)
				list, err := r.ReadFile("list")
				for path := range strings.FieldsSeq(string(list)) {
					if err == nil {
						_, err = r.ReadFile(path)
					}
				}
				return string(tree["model"].Data), r.Trace(), err
			}
			version, seen, err := has(nil)
			if err != nil {
				t.Fatal(err)
			}
			b := backward{tree: trees[0], version: version, seen: seen, has: has}
			brought := 0
			for brought+1 < len(trees) && b.same(agent.Tree(trees[brought+1])) {
				brought++
			}
			if (b.err != nil) != (c.err != "") || b.err != nil && !strings.Contains(b.err.Error(), c.err) {
				t.Fatalf("%v, want %q", b.err, c.err)
			}
			if b.err == nil && brought != c.want || b.renders != c.renders {
				t.Errorf("commit %d of %d brought it, after %d renders; want %d after %d", brought, len(trees), b.renders, c.want, c.renders)
			}
		})
	}
}
