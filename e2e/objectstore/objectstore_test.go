package objectstore_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/sluice-dev/sluice/e2e/objectstore"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("OBJECTSTORE_TEST_VICTIM"); dir != "" {
		victim(dir)
	}
	os.Exit(m.Run())
}

func start(t *testing.T, o objectstore.Options) *objectstore.Server {
	t.Helper()
	o.Progress = os.Stderr
	s, err := objectstore.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// client reaches a server as anybody would, once for each call.
func client(s *objectstore.Server, secret string) *s3.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA)
	return s3.New(s3.Options{
		BaseEndpoint: &s.Endpoint, Region: objectstore.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKey, secret, ""),
		Retryer:     aws.NopRetryer{},
		HTTPClient:  &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}},
	})
}

func read(ctx context.Context, c *s3.Client, key string) (string, error) {
	object, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("models"), Key: &key})
	if err != nil {
		return "", err
	}
	defer object.Body.Close()
	content, err := io.ReadAll(object.Body)
	return string(content), err
}

func TestObjects(t *testing.T) {
	for name, o := range map[string]objectstore.Options{"http": {}, "https": {TLS: true}} {
		t.Run(name, func(t *testing.T) {
			ctx, s := t.Context(), start(t, o)
			large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // in parts
			if err := errors.Join(
				s.CreateBucket(ctx, "models"),
				s.Put(ctx, "models", "fraud/v8/model.bin", strings.NewReader("weights")),
				s.Put(ctx, "models", "fraud/v8/large.bin", bytes.NewReader(large)),
				s.PutMarker(ctx, "models", "fraud/v8/empty/"),
			); err != nil {
				t.Fatal(err)
			}
			if got := s.Traffic(); got != (objectstore.Traffic{}) {
				t.Errorf("the test's own writes count: %+v", got)
			}
			c := client(s, s.SecretKey)
			for key, want := range map[string]string{"fraud/v8/model.bin": "weights", "fraud/v8/large.bin": string(large)} {
				if got, err := read(ctx, c, key); err != nil || got != want {
					t.Errorf("%s is %d bytes (%v), want %d", key, len(got), err, len(want))
				}
			}
			list, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("models")})
			if err != nil || len(list.Contents) != 3 {
				t.Fatalf("listed %v (%v), want 3 objects", list, err)
			}
			got := s.Traffic()
			if got.Lists != 1 || got.Gets != 2 || got.Requests() != 3 || got.Sent < int64(len(large)) {
				t.Errorf("counted %+v, want 1 list and 2 gets", got)
			}
			if err := s.Delete(ctx, "models", "fraud/v8/model.bin"); err != nil {
				t.Fatal(err)
			}
			if _, err := read(ctx, c, "fraud/v8/model.bin"); code(err) != "NoSuchKey" {
				t.Errorf("reading what was deleted: %v, want NoSuchKey", err)
			}
			if _, err := read(ctx, client(s, "wrong"), "fraud/v8/large.bin"); code(err) != "SignatureDoesNotMatch" {
				t.Errorf("with a wrong key: %v, want SignatureDoesNotMatch", err)
			}
		})
	}
}

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

func TestMisbehave(t *testing.T) {
	ctx, s := t.Context(), start(t, objectstore.Options{})
	content := strings.Repeat("x", 1<<16)
	if err := errors.Join(s.CreateBucket(ctx, "models"), s.Put(ctx, "models", "m", strings.NewReader(content))); err != nil {
		t.Fatal(err)
	}
	c := client(s, s.SecretKey)
	for _, test := range []struct {
		name  string
		fault objectstore.Fault
		check func(got string, err error) bool
	}{
		{"403", objectstore.Status(403), func(_ string, err error) bool { return code(err) == "AccessDenied" }},
		{"503", objectstore.Status(503), func(_ string, err error) bool { return code(err) == "SlowDown" }},
		{"down", objectstore.Down(), func(_ string, err error) bool { return errors.Is(err, io.EOF) }},
		{"slow", objectstore.Slow(1<<13, time.Millisecond), func(got string, err error) bool { return got == content && err == nil }},
		{"cut", objectstore.Cut(100), func(got string, err error) bool { return len(got) == 100 && errors.Is(err, io.ErrUnexpectedEOF) }},
		{"first", objectstore.First(0, objectstore.Status(403)), func(got string, err error) bool { return got == content && err == nil }},
	} {
		s.Misbehave(test.fault)
		if got, err := read(ctx, c, "m"); !test.check(got, err) {
			t.Errorf("%s: read %d bytes, %v", test.name, len(got), err)
		}
	}
	for name, fault := range map[string]objectstore.Fault{"silent": objectstore.Silent(), "stall": objectstore.Stall(10), "endless": objectstore.Endless("", content)} {
		s.Misbehave(fault)
		ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		if got, err := read(ctx, c, "m"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: read %d bytes, %v, want to run out of time", name, len(got), err)
		}
		cancel()
	}
	s.Misbehave(objectstore.Objects(objectstore.Status(403)))
	if _, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("models")}); err != nil {
		t.Errorf("a listing, while objects are refused: %v", err)
	}
	s.Misbehave(nil)
	if got, err := read(ctx, c, "m"); err != nil || got != content {
		t.Errorf("mended: read %d bytes, %v", len(got), err)
	}
}

func TestDirIsServedAgain(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	first := start(t, objectstore.Options{Dir: dir})
	if err := errors.Join(first.CreateBucket(ctx, "models"), first.Put(ctx, "models", "m", strings.NewReader("weights")), first.Stop()); err != nil {
		t.Fatal(err)
	}
	second := start(t, objectstore.Options{Dir: dir})
	if got, err := read(ctx, client(second, second.SecretKey), "m"); err != nil || got != "weights" {
		t.Errorf("read %q, %v", got, err)
	}
}

// TestEndsWithItsStarter kills a process that has started a server.
func TestEndsWithItsStarter(t *testing.T) {
	dir := t.TempDir()
	starter := exec.Command(os.Args[0])
	starter.Env = append(os.Environ(), "OBJECTSTORE_TEST_VICTIM="+dir, "TMPDIR="+dir) // nobody tidies up after it
	output, err := starter.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 256)
	n, _ := output.Read(line) // "ready", or why not
	if got := string(line[:n]); got != "ready\n" {
		t.Fatalf("the starter says %q", got)
	}
	if running(t, dir) == 0 {
		t.Fatal("no server runs")
	}
	_ = starter.Process.Kill()
	_ = starter.Wait() // it was killed
	for deadline := time.Now().Add(time.Minute); running(t, dir) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the server outlives its starter")
		}
	}
}

func victim(dir string) {
	if _, err := objectstore.Start(context.Background(), objectstore.Options{Dir: dir}); err != nil {
		os.Stdout.WriteString(err.Error())
		os.Exit(1)
	}
	os.Stdout.WriteString("ready\n")
	select {}
}

// running counts the processes that serve a directory.
func running(t *testing.T, dir string) int {
	processes, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range processes {
		arguments, _ := os.ReadFile("/proc/" + p.Name() + "/cmdline") // it may have ended
		if bytes.Contains(arguments, []byte("--dir="+dir+"\x00")) {
			n++
		}
	}
	return n
}
