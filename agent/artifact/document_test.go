package artifact_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/sluice-dev/sluice/e2e/objectstore"
)

func TestRead(t *testing.T) {
	b, i := newBucket(t), newInspector()
	b.put(map[string]string{"runs/1/result.json": `{"uri": "x"}`, "runs/1/result.json.tmp": "half", "runs/2/a/b": "x", "exact": strings.Repeat("x", 100)})
	var content []byte
	got := b.cost(func() {
		var err error
		if content, err = i.Read(t.Context(), b.uri("runs/1/result.json"), b.credentials(), 100); err != nil {
			t.Error(err)
		}
	})
	if string(content) != `{"uri": "x"}` || got.Lists != 1 || got.Gets != 1 || got.Requests() != 2 {
		t.Errorf("read %q for %+v, want one listing and one read", content, got)
	}
	if content, err := i.Read(t.Context(), b.uri("exact"), b.credentials(), 100); err != nil || len(content) != 100 {
		t.Errorf("as long as the limit: %d bytes, %v", len(content), err)
	}
	got = b.cost(func() {
		_, err := i.Read(t.Context(), b.uri("exact"), b.credentials(), 99)
		failsWith(t, err, artifact.TooLarge, b.uri("exact")+": it has 100 bytes, and at most 99 are read")
	})
	if got.Gets != 0 {
		t.Errorf("what is too long costs %+v, want no read", got)
	}
	for _, test := range []struct {
		uri  string
		kind artifact.Kind
		says string
	}{
		{b.uri("runs/3/result.json"), artifact.NotFound, "neither an object of this name nor anything below it"},
		{b.uri("runs/1/result.jso"), artifact.NotFound, "neither an object of this name"}, // though others begin so
		{b.uri("runs/2/a"), artifact.Invalid, "there is no object of this name, but there are some below it: name one of them"},
		{b.uri("runs/1/"), artifact.Invalid, "ends in a slash"},
		{"s3://nowhere/result.json", artifact.NotFound, "there is no bucket nowhere"},
		{"oci://registry.example.com/a:1", artifact.Invalid, "oci:// is not read as one file"},
		{"pvc://claim/result.json", artifact.Invalid, "pvc:// is not read as one file"},
		{"s3://user:hush@bucket/result.json", artifact.Invalid, "must not have credentials"},
	} {
		_, err := i.Read(t.Context(), test.uri, b.credentials(), 100)
		mustBeClean(t, err, b.SecretKey, b.AccessKey, "hush")
		failsWith(t, err, test.kind, test.says)
	}
}

// TestReadOfMisbehavingStore: a document is as hostile as an artifact.
func TestReadOfMisbehavingStore(t *testing.T) {
	limits := artifact.DefaultLimits()
	limits.Stall = 50 * time.Millisecond
	b := newBucket(t)
	b.put(map[string]string{"result.json": strings.Repeat("x", 500_000)})
	for name, test := range map[string]struct {
		fault objectstore.Fault
		kind  artifact.Kind
		says  string
	}{
		"silent":    {objectstore.Objects(objectstore.Silent()), artifact.Timeout, "the store made no progress for 50ms"},
		"stalled":   {objectstore.Objects(objectstore.Stall(1000)), artifact.Timeout, "the store made no progress for 50ms"},
		"trickle":   {objectstore.Objects(objectstore.Slow(10, 10*time.Millisecond)), artifact.Timeout, "the store made no progress for 50ms"},
		"cut":       {objectstore.Objects(objectstore.Cut(1000)), artifact.Unavailable, "the store broke the connection off"},
		"forbidden": {objectstore.Objects(objectstore.Status(403)), artifact.Forbidden, "the store does not let it be read"},
		"503":       {objectstore.Status(503), artifact.Unavailable, "the store has trouble (503"},
		"endless":   {objectstore.Objects(objectstore.Endless("", strings.Repeat("x", 1<<16))), artifact.Unavailable, "it changed while it was read"},
	} {
		t.Run(name, func(t *testing.T) {
			b.Misbehave(test.fault)
			defer b.Misbehave(nil)
			_, err := artifact.NewInspector(limits).Read(t.Context(), b.uri("result.json"), b.credentials(), 1<<20)
			mustBeClean(t, err, b.SecretKey, b.AccessKey)
			failsWith(t, err, test.kind, test.says)
		})
	}
}

// TestReadDoesNotBelieve: what a store says of the length of an object is only what it says.
func TestReadDoesNotBelieve(t *testing.T) {
	big := strings.Repeat("x", 3<<20)
	for name, test := range map[string]struct {
		o    object
		kind artifact.Kind
		says string
	}{
		"says it":       {good("r", "{}").with(func(o *object) { o.size = "1073741824" }), artifact.TooLarge, "it has 1073741824 bytes, and at most 1048576 are read: keep it short"},
		"longer":        {good("r", big).with(func(o *object) { o.size = "12" }), artifact.TooLarge, "it has more than 1048576 bytes"},
		"a bit longer":  {good("r", "{} ").with(func(o *object) { o.size = "2" }), artifact.Unavailable, "it changed while it was read"},
		"shorter":       {good("r", "{}").with(func(o *object) { o.size = "3" }), artifact.Unavailable, "it changed while it was read"},
		"negative":      {good("r", big).with(func(o *object) { o.size = "-1" }), artifact.TooLarge, "it has more than 1048576 bytes"},
		"other version": {good("r", "{}").with(func(o *object) { o.contentTag = `"other"` }), artifact.Unavailable, "it changed while it was read"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := madeUp(t, []object{test.o}, onePage)
			_, err := newInspector().Read(t.Context(), "s3://bucket/r", c, 1<<20)
			mustBeClean(t, err, "the-secret")
			failsWith(t, err, test.kind, test.says)
		})
	}
}

// endless counts what is taken of an answer that never ends.
func endless(w io.Writer, r *http.Request) (sent int64) {
	block := []byte(strings.Repeat("x", 1<<16))
	for r.Context().Err() == nil && sent < 1<<30 {
		n, err := w.Write(block)
		if sent += int64(n); err != nil {
			break
		}
	}
	return sent
}

func TestReadWeb(t *testing.T) {
	sent := make(chan int64, 1)
	url, c, methods := files(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		switch r.URL.Path {
		case "/result.json":
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader("{}"))
		case "/moved":
			http.Redirect(w, r, "/result.json", http.StatusFound)
		case "/plain":
			http.Redirect(w, r, "http://127.0.0.1/", http.StatusFound)
		case "/says-it":
			w.Header().Set("Content-Length", "1073741824")
		case "/lies":
			if r.Method == http.MethodHead {
				w.Header().Set("Content-Length", "2")
				return
			}
			sent <- endless(w, r)
		default:
			http.NotFound(w, r)
		}
	})
	i := newInspector()
	for _, path := range []string{"/result.json", "/moved"} {
		if content, err := i.Read(t.Context(), url+path, c, 100); err != nil || string(content) != "{}" {
			t.Errorf("%s: %q, %v", path, content, err)
		}
	}
	if got, want := strings.Join(methods.take(), " "), "HEAD GET HEAD HEAD GET GET"; got != want {
		t.Errorf("it asked %s, want %s", got, want)
	}
	_, err := i.Read(t.Context(), url+"/lies", c, 1<<20)
	failsWith(t, err, artifact.TooLarge, url+"/lies: it has more than 1048576 bytes")
	if got := <-sent; got > 64<<20 {
		t.Errorf("%d bytes were sent of what is too long", got)
	}
	_, err = i.Read(t.Context(), url+"/says-it", c, 1<<20)
	failsWith(t, err, artifact.TooLarge, "it has 1073741824 bytes, and at most 1048576 are read")
	_, err = i.Read(t.Context(), url+"/nothing", c, 100)
	failsWith(t, err, artifact.NotFound, "there is no file")
	_, err = i.Read(t.Context(), url+"/plain", c, 100)
	failsWith(t, err, artifact.Invalid, "to where nothing is encrypted")
}

// TestReadSendsNoCredentialsOn: a store that redirects gets no signed request sent elsewhere.
func TestReadSendsNoCredentialsOn(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s was sent elsewhere, with %q", r.Method, r.URL, r.Header.Get("Authorization"))
	}))
	t.Cleanup(elsewhere.Close)
	c, _ := madeUp(t, nil, func(w http.ResponseWriter, r *http.Request, _ string) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	_, err := newInspector().Read(t.Context(), "s3://bucket/r", c, 100)
	failsWith(t, err, artifact.Invalid, "the store sends us elsewhere (307")
	_, err = newInspector().List(t.Context(), "s3://bucket/r/", c)
	failsWith(t, err, artifact.Invalid, "the store sends us elsewhere (307")
}

func TestReadClouds(t *testing.T) {
	stored := map[string]string{"run/result.json": "{}"}
	gs, _ := google(t, stored)
	az, _ := azure(t, stored)
	for uri, c := range map[string]artifact.Credentials{"gs://models/run/result.json": gs, "azblob://models/run/result.json": az} {
		if content, err := newInspector().Read(t.Context(), uri, c, 2); err != nil || string(content) != "{}" {
			t.Errorf("%s: %q, %v", uri, content, err)
		}
		_, err := newInspector().Read(t.Context(), uri, c, 1)
		failsWith(t, err, artifact.TooLarge, "it has 2 bytes, and at most 1 are read")
		_, err = newInspector().Read(t.Context(), uri+"x", c, 2)
		failsWith(t, err, artifact.NotFound, "neither an object of this name")
	}
}
