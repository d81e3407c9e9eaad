package artifact_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/sluice-dev/sluice/e2e/objectstore"
)

func TestList(t *testing.T) {
	b, i := newBucket(t), newInspector()
	list := func(path string) (l artifact.Listing) {
		t.Helper()
		got := b.cost(func() {
			var err error
			if l, err = i.List(t.Context(), b.uri(path), b.credentials()); err != nil {
				t.Fatal(err)
			}
		})
		if got.Requests() != got.Lists {
			t.Errorf("a look costs %+v, want listings only", got)
		}
		return l
	}
	empty := list("data/")
	if empty.Count != 0 || empty.Size != 0 || !empty.Newest.IsZero() || len(empty.Fingerprint) != 64 {
		t.Errorf("nothing: %+v", empty)
	}
	if l := list("data"); l != empty {
		t.Errorf("nothing without a slash: %+v, want %+v", l, empty)
	}
	b.put(map[string]string{"database": "another"})
	if l := list("data"); l != empty {
		t.Errorf("nothing but what begins like it: %+v, want %+v", l, empty)
	}

	if err := b.PutMarker(t.Context(), b.name, "data/"); err != nil {
		t.Fatal(err)
	}
	if l := list("data/"); l != empty {
		t.Errorf("a directory with nothing in it: %+v, want %+v", l, empty)
	}
	b.put(map[string]string{"data/2026/a.csv": "1,2", "data/b.csv": "3,4,5"})
	first := list("data/")
	if first.Count != 2 || first.Size != 8 || first.Newest.IsZero() || first.Fingerprint == empty.Fingerprint {
		t.Errorf("two files: %+v", first)
	}
	if again := list("data/"); again != first {
		t.Errorf("nothing has changed: %+v, want %+v", again, first)
	}

	// Other content of the same length, another name, one less: all of these are changes.
	seen := map[string]string{empty.Fingerprint: "nothing", first.Fingerprint: "the first"}
	changed := func(what, path string) {
		t.Helper()
		l := list(path)
		if before, known := seen[l.Fingerprint]; known {
			t.Errorf("%s has the fingerprint of %s", what, before)
		}
		seen[l.Fingerprint] = what
	}
	b.put(map[string]string{"data/b.csv": "3,4,6"})
	changed("other content", "data/")
	b.put(map[string]string{"data/c.csv": ""})
	changed("one more", "data/")
	changed("one alone", "data/c.csv")
	if err := b.Delete(t.Context(), b.name, "data/2026/a.csv"); err != nil {
		t.Fatal(err)
	}
	changed("one less", "data/")

	// What is as it was, there or elsewhere, is the same data.
	b.put(map[string]string{"data/b.csv": "3,4,5", "data/2026/a.csv": "1,2", "copy/2026/a.csv": "1,2", "copy/b.csv": "3,4,5"})
	if err := b.Delete(t.Context(), b.name, "data/c.csv"); err != nil {
		t.Fatal(err)
	}
	if l := list("data/"); l.Fingerprint != first.Fingerprint {
		t.Errorf("written once more: %s, want %s", l.Fingerprint, first.Fingerprint)
	}
	if l := list("copy"); l.Fingerprint != first.Fingerprint || l.Count != 2 {
		t.Errorf("a copy: %+v, want %+v", l, first)
	}
	if one := list("data/b.csv"); one.Count != 1 || one.Size != 5 {
		t.Errorf("one object: %+v", one)
	}
	if all := list(""); all.Count != 5 {
		t.Errorf("the whole bucket: %+v", all)
	}
}

func TestListPages(t *testing.T) {
	b, files := newBucket(t), map[string]string{}
	for n := range 1100 {
		files[fmt.Sprintf("d/%04d", n)] = "x"
	}
	b.put(files)
	got := b.cost(func() {
		l, err := newInspector().List(t.Context(), b.uri("d/"), b.credentials())
		if err != nil || l.Count != 1100 || l.Size != 1100 {
			t.Errorf("found %+v, %v", l, err)
		}
	})
	if got.Lists != 2 || got.Requests() != 2 {
		t.Errorf("costs %+v, want 2 pages", got)
	}
	limits := artifact.DefaultLimits()
	limits.Files = 1099
	_, err := artifact.NewInspector(limits).List(t.Context(), b.uri("d/"), b.credentials())
	failsWith(t, err, artifact.TooLarge, "there are more than 1099 files: name a longer prefix")
}

func TestListRefusals(t *testing.T) {
	b, i := newBucket(t), newInspector()
	b.put(map[string]string{"d/x": "x", "d.old/x": "x"})
	for uri, want := range map[string]struct {
		kind artifact.Kind
		says string
	}{
		"s3://nowhere/d/":         {artifact.NotFound, "there is no bucket nowhere"},
		b.uri("d"):                {artifact.Invalid, "other names begin like it (d.old/x)"},
		"oci://r.example.com/a:1": {artifact.Invalid, "oci:// is not listed"},
		"hf://org/data":           {artifact.Invalid, "hf:// is not listed"},
		"s3://a:hush@bucket/d/":   {artifact.Invalid, "must not have credentials"},
		"file:///etc/":            {artifact.Invalid, "this is no kind of storage that is known"},
	} {
		_, err := i.List(t.Context(), uri, b.credentials())
		mustBeClean(t, err, b.SecretKey, b.AccessKey, "hush")
		failsWith(t, err, want.kind, want.says)
	}
	for name, test := range map[string]struct {
		fault objectstore.Fault
		kind  artifact.Kind
	}{"down": {objectstore.Down(), artifact.Unavailable}, "403": {objectstore.Status(403), artifact.Forbidden}, "garbage": {garbage, artifact.Unavailable}} {
		b.Misbehave(test.fault)
		_, err := i.List(t.Context(), b.uri("d/"), b.credentials())
		b.Misbehave(nil)
		if mustBeClean(t, err, b.SecretKey); err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		failsWith(t, err, test.kind, b.uri("d/")+": ")
	}
	c, requests := madeUp(t, nil, func(w http.ResponseWriter, r *http.Request, _ string) {
		onePage(w, r, "<NextContinuationToken>more</NextContinuationToken>")
	})
	_, err := i.List(t.Context(), "s3://bucket/d/", c)
	failsWith(t, err, artifact.TooLarge, "the store wants ever more requests")
	if requests.Load() > 301 {
		t.Errorf("it took %d requests", requests.Load())
	}
}

func TestListClouds(t *testing.T) {
	stored := map[string]string{"d/a": "x", "d/b/c": "yy", "e": "z"}
	gs, _ := google(t, stored)
	az, _ := azure(t, stored)
	for scheme, c := range map[string]artifact.Credentials{"gs": gs, "azblob": az} {
		l, err := newInspector().List(t.Context(), scheme+"://models/d/", c)
		if err != nil || l.Count != 2 || l.Size != 3 || !l.Newest.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
			t.Errorf("%s: %+v, %v", scheme, l, err)
		}
		if l, err = newInspector().List(t.Context(), scheme+"://models/f/", c); err != nil || l.Count != 0 {
			t.Errorf("%s, nothing: %+v, %v", scheme, l, err)
		}
	}
	content, tag := "x", `"1"`
	url, c, methods := files(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
	})
	before, err := newInspector().List(t.Context(), url+"/d.csv", c)
	if err != nil || before.Count != 1 || before.Size != 1 {
		t.Errorf("https: %+v, %v", before, err)
	}
	tag = `"2"`
	after, err := newInspector().List(t.Context(), url+"/d.csv", c)
	if err != nil || after.Fingerprint == before.Fingerprint {
		t.Errorf("https, with another ETag: %+v, %v", after, err)
	}
	if got := strings.Join(methods.take(), " "); got != "HEAD HEAD" {
		t.Errorf("it asked %s, want headers only", got)
	}
}
