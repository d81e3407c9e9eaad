package artifact_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/sluice-dev/sluice/e2e/objectstore"
)

// TestMain makes the tests independent of what this machine knows of the stores.
func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "AZURE_") || strings.HasPrefix(name, "GOOGLE_") {
			os.Unsetenv(name)
		}
	}
	os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, variable := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "DOCKER_CONFIG"} {
		os.Setenv(variable, os.DevNull)
	}
	code := m.Run()
	if shared.server != nil {
		_ = shared.server.Stop() // the tests are over
	}
	os.Exit(code)
}

// shared is the S3 server of all tests. They run one after the other.
var shared struct {
	once   sync.Once
	server *objectstore.Server
	err    error
}

// bucket is an empty bucket of the S3 server.
type bucket struct {
	*objectstore.Server
	t    *testing.T
	name string
}

func newBucket(t *testing.T) *bucket {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the S3 server")
	}
	shared.once.Do(func() {
		shared.server, shared.err = objectstore.Start(t.Context(), objectstore.Options{Progress: os.Stderr})
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return bucketOf(t, shared.server)
}

func bucketOf(t *testing.T, s *objectstore.Server) *bucket {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	if err := s.CreateBucket(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Misbehave(nil) })
	return &bucket{s, t, name}
}

// put writes objects.
func (b *bucket) put(files map[string]string) {
	b.t.Helper()
	for key, content := range files {
		if err := b.Put(b.t.Context(), b.name, key, strings.NewReader(content)); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bucket) uri(path string) string { return "s3://" + b.name + "/" + path }

// credentials are a Secret as KServe takes it.
func (b *bucket) credentials() artifact.Credentials {
	u, err := url.Parse(b.Endpoint)
	if err != nil {
		b.t.Fatal(err)
	}
	c := artifact.Credentials{
		Data:        map[string][]byte{"AWS_ACCESS_KEY_ID": []byte(b.AccessKey), "AWS_SECRET_ACCESS_KEY": []byte(b.SecretKey)},
		Annotations: map[string]string{"serving.kserve.io/s3-endpoint": u.Host, "serving.kserve.io/s3-usehttps": "0", "serving.kserve.io/s3-region": objectstore.Region},
	}
	if u.Scheme == "https" {
		c.Annotations["serving.kserve.io/s3-usehttps"] = "1"
		c.Data["ca.crt"] = b.CA
	}
	return c
}

// inspect looks at an artifact, and checks that no error shows a secret.
func (b *bucket) inspect(i *artifact.Inspector, a v1alpha1.Artifact, known *v1alpha1.ArtifactStatus) (v1alpha1.ArtifactStatus, error) {
	b.t.Helper()
	return b.inspectFor(b.t.Context(), i, a, known)
}

func (b *bucket) inspectFor(ctx context.Context, i *artifact.Inspector, a v1alpha1.Artifact, known *v1alpha1.ArtifactStatus) (v1alpha1.ArtifactStatus, error) {
	b.t.Helper()
	status, err := i.Inspect(ctx, a, b.credentials(), known)
	mustBeClean(b.t, err, b.SecretKey, b.AccessKey)
	if err != nil && status.Verified {
		b.t.Errorf("verified, with the error %v", err)
	}
	return status, err
}

// cost is what something asks of the server.
func (b *bucket) cost(do func()) objectstore.Traffic {
	before := b.Traffic()
	do()
	return b.Traffic().Sub(before)
}

// mustBeClean checks what every error has to be.
func mustBeClean(t *testing.T, err error, secrets ...string) {
	t.Helper()
	if err == nil {
		return
	}
	if _, ok := errors.AsType[*artifact.Error](err); !ok {
		t.Errorf("%T is no *artifact.Error: %v", err, err)
	}
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v %#v", err, err)} {
		for _, secret := range append(secrets, "Signature=", "X-Amz-", "Credential=") {
			if strings.Contains(text, secret) {
				t.Errorf("the error shows a secret (%s): %s", secret, text)
			}
		}
	}
}

// failsWith checks the kind of an error and what it says.
func failsWith(t *testing.T, err error, kind artifact.Kind, says string) {
	t.Helper()
	e, ok := errors.AsType[*artifact.Error](err)
	if !ok {
		t.Errorf("error %v, want %s: %s", err, kind, says)
		return
	}
	if e.Kind != kind || !strings.Contains(e.Error(), says) {
		t.Errorf("error %s: %v\nwant  %s: %s", e.Kind, e, kind, says)
	}
	if temporary := kind == artifact.Unavailable || kind == artifact.Timeout || kind == artifact.NoCredentials; e.Temporary() != temporary {
		t.Errorf("%s is temporary: %t", kind, e.Temporary())
	}
}

// asked is what a server of a test was asked for.
type asked struct {
	mu    sync.Mutex
	lines []string
}

func (a *asked) add(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lines = append(a.lines, line)
}

// take returns what was asked for since the last time, in order.
func (a *asked) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := a.lines
	a.lines = nil
	return taken
}

func newInspector() *artifact.Inspector { return artifact.NewInspector(artifact.DefaultLimits()) }

func digestOf(content string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content))) }

// digestOfAll is the digest of many files, by the definition of the package.
func digestOfAll(files map[string]string) string {
	var lines bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&lines, "%x  %d  %s\n", sha256.Sum256([]byte(files[name])), len(files[name]), name)
	}
	return digestOf(lines.String())
}

// model is a model of many files.
func model() map[string]string {
	files := map[string]string{"config.json": "{}", "empty": "", "a/b/c/deep": "x", "with space": "y", "ünïcode": "z", "zz.bin": strings.Repeat("0123456789", 50_000)}
	for n := range 20 {
		files[fmt.Sprintf("shards/%05d.bin", n)] = strings.Repeat(fmt.Sprint(n), 1000)
	}
	return files
}

func below(prefix string, files map[string]string) map[string]string {
	all := map[string]string{}
	for name, content := range files {
		all[prefix+name] = content
	}
	return all
}

func sizeOf(files map[string]string) (total int64) {
	for _, content := range files {
		total += int64(len(content))
	}
	return total
}

func TestOneObject(t *testing.T) {
	b, i := newBucket(t), newInspector()
	b.put(map[string]string{"fraud/v8/model.bin": "weights"})
	a := v1alpha1.Artifact{URI: b.uri("fraud/v8/model.bin"), Digest: digestOf("weights"), Size: new(int64(7))}

	var status v1alpha1.ArtifactStatus
	look := func(i *artifact.Inspector, known *v1alpha1.ArtifactStatus) func() {
		return func() {
			var err error
			if status, err = b.inspect(i, a, known); err != nil {
				t.Fatal(err)
			}
			want := v1alpha1.ArtifactStatus{Verified: true, Digest: a.Digest, Size: 7, Files: 1, Fingerprint: status.Fingerprint}
			if status != want || len(status.Fingerprint) != 64 {
				t.Errorf("found %+v, want %+v", status, want)
			}
		}
	}
	if got := b.cost(look(i, nil)); got.Lists != 1 || got.Gets != 1 || got.Requests() != 2 {
		t.Errorf("the first look costs %+v, want one listing and one read", got)
	}
	if got := b.cost(look(i, nil)); got.Lists != 1 || got.Requests() != 1 {
		t.Errorf("the next look costs %+v, want one listing", got)
	}
	known := status
	if got := b.cost(look(newInspector(), &known)); got.Lists != 1 || got.Requests() != 1 {
		t.Errorf("a look after a restart costs %+v, want one listing", got)
	}
}

func TestManyFiles(t *testing.T) {
	b, i, files := newBucket(t), newInspector(), model()
	b.put(below("fraud/v8/", files))
	if err := b.PutMarker(t.Context(), b.name, "fraud/v8/nothing/"); err != nil {
		t.Fatal(err)
	}
	a := v1alpha1.Artifact{URI: b.uri("fraud/v8/")}
	var status v1alpha1.ArtifactStatus
	var err error
	got := b.cost(func() { status, err = b.inspect(i, a, nil) })
	if err != nil {
		t.Fatal(err)
	}
	want := v1alpha1.ArtifactStatus{Verified: true, Digest: digestOfAll(files), Size: sizeOf(files), Files: int32(len(files)), Fingerprint: status.Fingerprint}
	if status != want {
		t.Errorf("found %+v, want %+v", status, want)
	}
	if got.Lists != 1 || got.Gets != len(files)-1 || got.Requests() != len(files) { // an empty one is not read
		t.Errorf("costs %+v, want one listing and %d reads", got, len(files)-1)
	}
	// Without the slash it is the same, but as long as nothing else begins like it.
	found, err := i.Digest(t.Context(), b.uri("fraud/v8"), b.credentials())
	if err != nil || found.Digest != want.Digest || found.URI != b.uri("fraud/v8/") {
		t.Errorf("without a slash: %+v, %v", found, err)
	}
	b.put(map[string]string{"fraud/v80/model.bin": "another"})
	_, err = b.inspect(i, v1alpha1.Artifact{URI: b.uri("fraud/v8")}, nil)
	failsWith(t, err, artifact.Invalid, b.uri("fraud/v8")+": other names begin like it (fraud/v80/model.bin), and KServe would load them too: end the URI with a slash: "+b.uri("fraud/v8/"))
	if _, err = b.inspect(i, a, &status); err != nil {
		t.Error(err)
	}
	// The whole bucket is a prefix as well.
	all := below("fraud/v8/", files)
	all["fraud/v80/model.bin"] = "another"
	if status, err = b.inspect(i, v1alpha1.Artifact{URI: "s3://" + b.name}, nil); err != nil || status.Digest != digestOfAll(all) {
		t.Errorf("the whole bucket: %+v, %v", status, err)
	}
}

func TestPages(t *testing.T) {
	b, files := newBucket(t), map[string]string{}
	for n := range 2100 {
		files[fmt.Sprintf("%04d", n)] = ""
	}
	files["0000"] = "first"
	b.put(below("m/", files))
	got := b.cost(func() {
		status, err := b.inspect(newInspector(), v1alpha1.Artifact{URI: b.uri("m/")}, nil)
		if err != nil || status.Digest != digestOfAll(files) {
			t.Errorf("found %+v, %v", status, err)
		}
	})
	if got.Lists != 3 || got.Gets != 1 {
		t.Errorf("costs %+v, want 3 pages and one read", got)
	}
	limits := artifact.DefaultLimits()
	limits.Files = 2099
	_, err := b.inspect(artifact.NewInspector(limits), v1alpha1.Artifact{URI: b.uri("m/")}, nil)
	failsWith(t, err, artifact.TooLarge, "there are more than 2099 files: name a longer prefix")
}

func TestOneFileOfManyChanges(t *testing.T) {
	b, i, files := newBucket(t), newInspector(), model()
	b.put(below("v8/", files))
	registered := v1alpha1.Artifact{URI: b.uri("v8/"), Digest: digestOfAll(files)}
	first, err := b.inspect(i, registered, nil)
	if err != nil {
		t.Fatal(err)
	}
	good := files["config.json"]
	files["config.json"] = "[]" // as long as before
	b.put(map[string]string{"v8/config.json": "[]"})

	var changed v1alpha1.ArtifactStatus
	got := b.cost(func() { changed, err = b.inspect(i, registered, &first) })
	failsWith(t, err, artifact.Mismatch, registered.URI+": its digest is "+digestOfAll(files)+", and the ModelVersion says "+registered.Digest+": it is not what was registered")
	if got.Lists != 1 || got.Gets != 1 {
		t.Errorf("one changed file costs %+v, want one listing and one read", got)
	}
	got = b.cost(func() { _, err = b.inspect(newInspector(), registered, &changed) })
	failsWith(t, err, artifact.Mismatch, "it is not what was registered")
	if got.Requests() != 1 {
		t.Errorf("what is known to be wrong costs %+v, want one listing", got)
	}

	// Without a digest in the spec, the first one counts, and the look at another does not change that.
	loose := v1alpha1.Artifact{URI: registered.URI}
	status, err := b.inspect(i, loose, &first)
	failsWith(t, err, artifact.Mismatch, "its digest is "+digestOfAll(files)+", and it was "+first.Digest+" when it was first read")
	if status.Digest != first.Digest || status.Fingerprint != first.Fingerprint {
		t.Errorf("after the mismatch %+v is known, want what was: %+v", status, first)
	}
	_, err = b.inspect(i, loose, &status)
	failsWith(t, err, artifact.Mismatch, "when it was first read")
	b.put(map[string]string{"v8/config.json": good})
	if status, err = b.inspect(i, loose, &status); err != nil || !status.Verified || status.Digest != first.Digest {
		t.Errorf("restored: %+v, %v", status, err)
	}

	// A size that differs is seen without reading.
	b.put(map[string]string{"v8/config.json": "longer than it was"})
	sized := v1alpha1.Artifact{URI: registered.URI, Size: new(first.Size)}
	got = b.cost(func() { _, err = b.inspect(i, sized, &first) })
	failsWith(t, err, artifact.Mismatch, fmt.Sprintf("it has %d bytes in 26 files, and the ModelVersion says %d", first.Size+16, first.Size))
	if got.Requests() != 1 {
		t.Errorf("another size costs %+v, want one listing", got)
	}
	// A file more, and a file less.
	b.put(map[string]string{"v8/config.json": good, "v8/more": ""})
	_, err = b.inspect(i, registered, nil)
	failsWith(t, err, artifact.Mismatch, "it is not what was registered")
	if err := errors.Join(b.Delete(t.Context(), b.name, "v8/more"), b.Delete(t.Context(), b.name, "v8/empty")); err != nil {
		t.Fatal(err)
	}
	_, err = b.inspect(i, registered, nil)
	failsWith(t, err, artifact.Mismatch, "it is not what was registered")
}

// garbage is a server of another kind.
func garbage(http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>hello")) })
}

func TestRefusals(t *testing.T) {
	b, i := newBucket(t), newInspector()
	b.put(map[string]string{"v8/model.bin": "weights"})
	here := v1alpha1.Artifact{URI: b.uri("v8/")}
	with := func(change func(*artifact.Credentials)) artifact.Credentials {
		c := b.credentials()
		change(&c)
		return c
	}
	for _, test := range []struct {
		name  string
		uri   string
		c     artifact.Credentials
		fault objectstore.Fault
		kind  artifact.Kind
		says  string
	}{
		{name: "no object", uri: b.uri("v9/model.bin"), kind: artifact.NotFound, says: "there is neither an object of this name nor anything below it: check the URI, or upload the artifact first"},
		{name: "nothing below", uri: b.uri("v9/"), kind: artifact.NotFound, says: "there is nothing below it"},
		{name: "no bucket", uri: "s3://nowhere/v8/", kind: artifact.NotFound, says: "there is no bucket nowhere: check how it is written"},
		{name: "wrong secret", c: with(func(c *artifact.Credentials) { c.Data["AWS_SECRET_ACCESS_KEY"] = []byte("wrong-secret") }),
			kind: artifact.Forbidden, says: "the store does not accept the credentials given (403 SignatureDoesNotMatch): check them"},
		{name: "unknown key", c: with(func(c *artifact.Credentials) { c.Data["AWS_ACCESS_KEY_ID"] = []byte("nobody") }),
			kind: artifact.Forbidden, says: "the store does not accept the credentials given (404 XAdminUserNotFound): check them"},
		{name: "anonymous", c: with(func(c *artifact.Credentials) {
			c.Data = nil
			c.Annotations["serving.kserve.io/s3-useanoncredential"] = "true"
		}), kind: artifact.Forbidden, says: "the store does not let it be read with the identity that this process has (403 AccessDenied)"},
		{name: "no identity", c: with(func(c *artifact.Credentials) { c.Data = nil }), kind: artifact.Forbidden, says: "this process has no credentials for S3: name a Secret in secretRef"},
		{name: "half a Secret", c: with(func(c *artifact.Credentials) { delete(c.Data, "AWS_SECRET_ACCESS_KEY") }), kind: artifact.Invalid, says: "the Secret lacks AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY: add them"},
		{name: "endpoint with scheme", c: with(func(c *artifact.Credentials) {
			c.Annotations["serving.kserve.io/s3-endpoint"] = b.Endpoint
		}), kind: artifact.Invalid, says: "serving.kserve.io/s3-endpoint of the Secret is not a host"},
		{name: "connection refused", c: with(func(c *artifact.Credentials) { c.Annotations["serving.kserve.io/s3-endpoint"] = "127.0.0.1:1" }),
			kind: artifact.Unavailable, says: "the store cannot be reached (dial tcp 127.0.0.1:1: connect: connection refused): check the endpoint and the network"},
		{name: "no TLS there", c: with(func(c *artifact.Credentials) { delete(c.Annotations, "serving.kserve.io/s3-usehttps") }),
			kind: artifact.Invalid, says: "the store does not speak TLS: for S3 over plain HTTP set serving.kserve.io/s3-usehttps to \"0\""},
		{name: "broken CA", c: with(func(c *artifact.Credentials) { c.Data["ca.crt"] = []byte("none") }), kind: artifact.Invalid, says: "hold no certificate: they have to be in PEM form"},
		{name: "403", fault: objectstore.Status(403), kind: artifact.Forbidden, says: "the store does not let it be read with the credentials given (403 AccessDenied)"},
		{name: "403 of a file", fault: objectstore.Objects(objectstore.Status(403)), kind: artifact.Forbidden, says: "model.bin: the store does not let it be read"},
		{name: "404 of a file", fault: objectstore.Objects(objectstore.Status(404)), kind: artifact.Unavailable, says: "model.bin: it is gone since it was listed: is it being replaced?"},
		{name: "503", fault: objectstore.Status(503), kind: artifact.Unavailable, says: "the store has trouble (503 SlowDown): try again later"},
		{name: "down", fault: objectstore.Down(), kind: artifact.Unavailable, says: "the store broke the connection off: try again later"},
		{name: "endless listing", fault: objectstore.Endless("<?xml version=\"1.0\"?><ListBucketResult>", "<Contents><Key>x</Key><LastModified>2026-01-01T00:00:00Z</LastModified><Size>1</Size></Contents>"),
			kind: artifact.TooLarge, says: "the store answers with more than 16 MiB where there should be less"},
		{name: "garbage", fault: garbage, kind: artifact.Unavailable, says: "the store gave an answer that makes no sense"},
		{name: "endless file", fault: objectstore.Objects(objectstore.Endless("", strings.Repeat("x", 1<<16))), kind: artifact.Unavailable, says: "model.bin: it changed while it was read: is it still being uploaded?"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b.Misbehave(test.fault)
			defer b.Misbehave(nil)
			a, c := here, test.c
			if test.uri != "" {
				a.URI = test.uri
			}
			if c.Annotations == nil {
				c = b.credentials()
			}
			known := &v1alpha1.ArtifactStatus{Verified: true, Digest: digestOf("before"), Fingerprint: "f"}
			status, err := i.Inspect(t.Context(), a, c, known)
			mustBeClean(t, err, b.SecretKey, b.AccessKey, "wrong-secret")
			failsWith(t, err, test.kind, a.URI+": ")
			failsWith(t, err, test.kind, test.says)
			if status.Verified || status.Digest != known.Digest || status.Fingerprint != "f" {
				t.Errorf("status %+v, want what was known, and not verified", status)
			}
		})
	}
	// Nothing of that harms the next look.
	if _, err := b.inspect(i, here, nil); err != nil {
		t.Error(err)
	}
}

func TestSilence(t *testing.T) {
	limits := artifact.DefaultLimits()
	limits.Stall = 50 * time.Millisecond
	for name, fault := range map[string]objectstore.Fault{
		"silent":      objectstore.Silent(),
		"silent file": objectstore.Objects(objectstore.Silent()),
		"stalled":     objectstore.Objects(objectstore.Stall(1000)),
		"stalled far": objectstore.Objects(objectstore.Stall(400_000)),
		"trickle":     objectstore.Objects(objectstore.Slow(10, 10*time.Millisecond)),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBucket(t)
			b.put(map[string]string{"m": strings.Repeat("x", 500_000)})
			b.Misbehave(fault)
			_, err := b.inspect(artifact.NewInspector(limits), v1alpha1.Artifact{URI: b.uri("m")}, nil)
			failsWith(t, err, artifact.Timeout, "the store made no progress for 50ms: check it and the network")
		})
	}
}

// TestSlow: what is slow and goes on is waited for.
func TestSlow(t *testing.T) {
	b, content := newBucket(t), strings.Repeat("x", 500_000)
	b.put(map[string]string{"m": content})
	b.Misbehave(objectstore.Slow(10_000, time.Millisecond))
	if status, err := b.inspect(newInspector(), v1alpha1.Artifact{URI: b.uri("m"), Digest: digestOf(content)}, nil); err != nil {
		t.Errorf("found %+v, %v", status, err)
	}
}

// TestBrokenConnection: what has come is not read again.
func TestBrokenConnection(t *testing.T) {
	b, content := newBucket(t), strings.Repeat("0123456789", 100_000)
	b.put(map[string]string{"m": content})
	b.Misbehave(objectstore.Objects(objectstore.First(3, objectstore.Cut(300_000))))
	got := b.cost(func() {
		if _, err := b.inspect(newInspector(), v1alpha1.Artifact{URI: b.uri("m"), Digest: digestOf(content)}, nil); err != nil {
			t.Error(err)
		}
	})
	if got.Gets != 4 || got.Sent > int64(len(content))+10_000 {
		t.Errorf("costs %+v, want 4 reads of %d bytes in all", got, len(content))
	}
	b.Misbehave(objectstore.Objects(objectstore.Cut(10)))
	_, err := b.inspect(newInspector(), v1alpha1.Artifact{URI: b.uri("m")}, nil)
	failsWith(t, err, artifact.Unavailable, "the store broke the connection off: try again later")
}

// TestTimeIsUp: the next look goes on with what the last one missed.
func TestTimeIsUp(t *testing.T) {
	b, files := newBucket(t), model()
	b.put(below("v8/", files))
	limits := artifact.DefaultLimits()
	limits.Parallel = 1
	i, a := artifact.NewInspector(limits), v1alpha1.Artifact{URI: b.uri("v8/"), Digest: digestOfAll(files)}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read := b.Traffic().Gets
	b.Misbehave(objectstore.Objects(func(next http.Handler) http.Handler {
		if b.Traffic().Gets-read > 10 {
			cancel()
			return objectstore.Silent()(next)
		}
		return next
	}))
	_, err := b.inspectFor(ctx, i, a, nil)
	failsWith(t, err, artifact.Timeout, "the look at it was cancelled")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v is not context.Canceled", err)
	}
	b.Misbehave(nil)
	got := b.cost(func() {
		if _, err := b.inspect(i, a, nil); err != nil {
			t.Error(err)
		}
	})
	if want := len(files) - 1 - 10; got.Gets != want {
		t.Errorf("the next look costs %+v, want %d reads", got, want)
	}

	b.Misbehave(objectstore.Silent())
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	_, err = b.inspectFor(ctx, i, a, nil)
	failsWith(t, err, artifact.Timeout, "there was not enough time to read it; files that were read are not read again")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is not context.DeadlineExceeded", err)
	}
}

func TestHTTPS(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the S3 server")
	}
	s, err := objectstore.Start(t.Context(), objectstore.Options{TLS: true, Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	b := bucketOf(t, s)
	b.put(map[string]string{"m": "weights"})
	a := v1alpha1.Artifact{URI: b.uri("m"), Digest: digestOf("weights")}
	if _, err := b.inspect(newInspector(), a, nil); err != nil {
		t.Errorf("with ca.crt in the Secret: %v", err)
	}
	c := b.credentials()
	delete(c.Data, "ca.crt")
	_, err = newInspector().Inspect(t.Context(), a, c, nil)
	mustBeClean(t, err, b.SecretKey, b.AccessKey)
	failsWith(t, err, artifact.Invalid, "the certificate of the store cannot be trusted (x509: certificate signed by unknown authority): give its authority as ca.crt in the Secret")

	c.Annotations["serving.kserve.io/s3-cabundle-configmap"] = "authorities"
	if name := c.CAConfigMap(); name != "authorities" {
		t.Errorf("the ConfigMap is %q", name)
	}
	c.CA = b.CA
	if _, err := newInspector().Inspect(t.Context(), a, c, nil); err != nil {
		t.Errorf("with the ConfigMap: %v", err)
	}
	c.CA = nil
	c.Annotations["serving.kserve.io/s3-verifyssl"] = "0"
	if _, err := newInspector().Inspect(t.Context(), a, c, nil); err != nil {
		t.Errorf("without a check of the certificate: %v", err)
	}
}

// TestOwnIdentity: without a Secret, what the SDK finds in the environment counts.
func TestOwnIdentity(t *testing.T) {
	b := newBucket(t)
	b.put(map[string]string{"m": "weights"})
	t.Setenv("AWS_ACCESS_KEY_ID", b.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", b.SecretKey)
	t.Setenv("AWS_ENDPOINT_URL", b.Endpoint)
	t.Setenv("AWS_REGION", objectstore.Region)
	found, err := newInspector().Digest(t.Context(), b.uri("m"), artifact.Credentials{})
	if err != nil || found.Digest != digestOf("weights") {
		t.Errorf("found %+v, %v", found, err)
	}
}

func TestCredentialsDoNotPrint(t *testing.T) {
	c := artifact.Credentials{Data: map[string][]byte{"AWS_SECRET_ACCESS_KEY": []byte("hush")}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if text := fmt.Sprintf(verb, c); text != "the credentials given" {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}
