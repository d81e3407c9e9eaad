package artifact_test

import (
	"crypto/md5"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
)

// object is one that a made-up store lists, with what it gives when it is read.
type object struct {
	name, size, tag, modified string
	content                   string
	contentTag                string
}

func (o object) xml() string {
	modified := o.modified
	if modified == "" {
		modified = "<LastModified>2026-01-02T03:04:05.000Z</LastModified>"
	}
	return fmt.Sprintf("<Contents><Key>%s</Key>%s<ETag>%s</ETag><Size>%s</Size></Contents>", o.name, modified, o.tag, o.size)
}

// good is an object that is what it says.
func good(name, content string) object {
	tag := fmt.Sprintf("&quot;%x&quot;", md5.Sum([]byte(content)))
	return object{name: name, size: fmt.Sprint(len(content)), tag: tag, content: content, contentTag: strings.ReplaceAll(tag, "&quot;", `"`)}
}

func (o object) with(change func(*object)) object {
	change(&o)
	return o
}

// madeUp is a store that no real server would be: each answer is made up.
func madeUp(t *testing.T, objects []object, list func(w http.ResponseWriter, r *http.Request, objects string)) (artifact.Credentials, *atomic.Int64) {
	t.Helper()
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.URL.Path == "/bucket" || r.URL.Path == "/bucket/" {
			var all strings.Builder
			for _, o := range objects {
				all.WriteString(o.xml())
			}
			list(w, r, all.String())
			return
		}
		for _, o := range objects {
			if r.URL.Path == "/bucket/"+o.name {
				w.Header().Set("ETag", o.contentTag)
				_, _ = w.Write([]byte(o.content))
			}
		}
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return artifact.Credentials{
		Data:        map[string][]byte{"AWS_ACCESS_KEY_ID": []byte("key"), "AWS_SECRET_ACCESS_KEY": []byte("the-secret")},
		Annotations: map[string]string{"serving.kserve.io/s3-endpoint": u.Host, "serving.kserve.io/s3-usehttps": "0"},
	}, &requests
}

func onePage(w http.ResponseWriter, _ *http.Request, objects string) {
	fmt.Fprintf(w, "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false</IsTruncated>%s</ListBucketResult>", objects)
}

// TestHostileStore: whatever a store answers, it is refused with a sentence.
func TestHostileStore(t *testing.T) {
	ok := good("m/ok", "fine")
	for _, test := range []struct {
		name    string
		objects []object
		list    func(http.ResponseWriter, *http.Request, string)
		kind    artifact.Kind
		says    string
		most    int64 // requests; 0 for a few
	}{
		{name: "parent", objects: []object{ok, good("m/../../etc/passwd", "x")}, kind: artifact.Invalid, says: `there is a file named "../../etc/passwd": the path has an element ..`},
		{name: "dot", objects: []object{good("m/./x", "x")}, kind: artifact.Invalid, says: "the path has an element ."},
		{name: "absolute", objects: []object{good("m//etc/passwd", "x")}, kind: artifact.Invalid, says: "an empty element"},
		{name: "empty element", objects: []object{good("m/a//b", "x")}, kind: artifact.Invalid, says: "an empty element"},
		{name: "marker with content", objects: []object{good("m/a/", "x")}, kind: artifact.Invalid, says: "an empty element"},
		{name: "prefix with content", objects: []object{good("m/", "x")}, kind: artifact.Invalid, says: "an empty element"},
		{name: "control character", objects: []object{good("m/a&#10;b", "x")}, kind: artifact.Invalid, says: `there is a file named "a b": the path has control characters`},
		{name: "escaped by gocloud", objects: []object{good("m/__0x2e____0x2e__/x", "x")}, kind: artifact.Invalid, says: `there is a file named "m/__0x2e____0x2e__/x", which is not a name of a file everywhere`},
		{name: "twice", objects: []object{ok, ok}, kind: artifact.Invalid, says: `the store lists "ok" twice`},
		{name: "elsewhere", objects: []object{good("n/x", "x")}, kind: artifact.Invalid, says: `there is a file named "n/x"`},
		{name: "negative", objects: []object{ok.with(func(o *object) { o.size = "-1" })}, kind: artifact.Invalid, says: "has -1 bytes"},
		{name: "overflow", objects: []object{good("m/a", "x").with(func(o *object) { o.size = "9223372036854775807" }), ok}, kind: artifact.Invalid, says: "has 4 bytes: check the endpoint"},
		{name: "no number", objects: []object{ok.with(func(o *object) { o.size = "many" })}, kind: artifact.Unavailable, says: "makes no sense"},
		{name: "no time", objects: []object{ok.with(func(o *object) { o.modified = " " })}, kind: artifact.Unavailable, says: "makes no sense"},
		{name: "longer", objects: []object{ok.with(func(o *object) { o.size = "3" })}, kind: artifact.Unavailable, says: "ok: it changed while it was read"},
		{name: "shorter", objects: []object{ok.with(func(o *object) { o.size = "5" })}, kind: artifact.Unavailable, says: "ok: it changed while it was read"},
		{name: "other version", objects: []object{ok.with(func(o *object) { o.contentTag = `"other"` })}, kind: artifact.Unavailable, says: "ok: it changed while it was read"},
		{name: "pages without end", list: func(w http.ResponseWriter, r *http.Request, _ string) {
			onePage(w, r, "<NextContinuationToken>more</NextContinuationToken>")
		}, kind: artifact.TooLarge, says: "the store wants ever more requests, such as for pages of its listing", most: 301},
		{name: "markers without end", list: func(w http.ResponseWriter, r *http.Request, _ string) {
			var page strings.Builder
			for n := range 1000 {
				page.WriteString(object{name: fmt.Sprintf("m/%d/", n), size: "0"}.xml())
			}
			onePage(w, r, "<NextContinuationToken>more</NextContinuationToken>"+page.String())
		}, kind: artifact.TooLarge, says: "there are more than 10000 files", most: 25},
		{name: "another region", list: func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.WriteHeader(http.StatusMovedPermanently)
			fmt.Fprint(w, "<Error><Code>PermanentRedirect</Code><Endpoint>elsewhere</Endpoint></Error>")
		}, kind: artifact.Invalid, says: "is the bucket in another region? Set serving.kserve.io/s3-region"},
		{name: "redirect", list: func(w http.ResponseWriter, r *http.Request, _ string) {
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusTemporaryRedirect)
		}, kind: artifact.Invalid, says: "the store sends us elsewhere (307"},
		{name: "secret in the answer", list: func(w http.ResponseWriter, r *http.Request, _ string) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, "<Error><Code>Bad&#10;Thing</Code><Message>%s the-secret</Message></Error>", r.Header.Get("Authorization"))
		}, kind: artifact.Invalid, says: "the store does not take our request (400 Bad Thing)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.list == nil {
				test.list = onePage
			}
			c, requests := madeUp(t, test.objects, test.list)
			_, err := newInspector().Inspect(t.Context(), v1alpha1.Artifact{URI: "s3://bucket/m/"}, c, nil)
			mustBeClean(t, err, "the-secret")
			failsWith(t, err, test.kind, "s3://bucket/m/: ")
			failsWith(t, err, test.kind, test.says)
			if most := max(test.most, 20); requests.Load() > most {
				t.Errorf("it took %d requests, want at most %d", requests.Load(), most)
			}
		})
	}
}

// TestPoisonedCache: a store that claims the versions of another's files does not speak for it.
func TestPoisonedCache(t *testing.T) {
	honest := good("m/model.bin", "weights")
	evil := honest.with(func(o *object) { o.content = "WEIGHTS" })
	i := newInspector()
	for _, test := range []struct {
		o    object
		want string
	}{{evil, "WEIGHTS"}, {honest, "weights"}, {evil, "WEIGHTS"}} {
		c, _ := madeUp(t, []object{test.o}, onePage)
		found, err := i.Digest(t.Context(), "s3://bucket/m/", c)
		if err != nil || found.Digest != digestOfAll(map[string]string{"model.bin": test.want}) {
			t.Errorf("found %+v, %v, want the digest of %s", found, err, test.want)
		}
	}
}

// TestNoVersions: where nothing tells versions apart, everything is read each time.
func TestNoVersions(t *testing.T) {
	o := good("m/model.bin", "weights").with(func(o *object) {
		o.tag, o.contentTag, o.modified = "", "", "<LastModified>0001-01-01T00:00:00Z</LastModified>"
	})
	c, requests := madeUp(t, []object{o}, onePage)
	i, a := newInspector(), v1alpha1.Artifact{URI: "s3://bucket/m/"}
	var known *v1alpha1.ArtifactStatus
	for range 2 {
		status, err := i.Inspect(t.Context(), a, c, known)
		if err != nil || !status.Verified || status.Fingerprint != "" {
			t.Errorf("found %+v, %v", status, err)
		}
		known = &status
	}
	if requests.Load() != 4 {
		t.Errorf("%d requests, want 2 listings and 2 reads", requests.Load())
	}
}

func TestTotalSizeIsLimited(t *testing.T) {
	c, requests := madeUp(t, []object{good("m/a", "12345"), good("m/b", "67890")}, onePage)
	limits := artifact.DefaultLimits()
	limits.Size = 9
	_, err := artifact.NewInspector(limits).Inspect(t.Context(), v1alpha1.Artifact{URI: "s3://bucket/m/"}, c, nil)
	failsWith(t, err, artifact.TooLarge, "it has 10 bytes in 2 files, and at most 9 are read: raise the limit")
	if requests.Load() != 1 {
		t.Errorf("%d requests, want one listing", requests.Load())
	}
}
