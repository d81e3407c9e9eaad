package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

var (
	something = about{name: "example.com/tools/something", version: "v1.2.3", revision: "0123456789012345678901234567890123456789"}
	hello     = program{name: "hello", content: []byte("#!hello")}
)

// load reads an image back as `docker load` would.
func load(t *testing.T, file string) v1.Image {
	t.Helper()
	image, err := tarball.ImageFromPath(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// listing names everything in an image, layer by layer.
func listing(t *testing.T, image v1.Image) []string {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for n, l := range layers {
		content, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for archive := tar.NewReader(content); ; {
			h, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Uid != 0 || h.Gid != 0 || !h.ModTime.Equal(epoch) {
				t.Errorf("%s belongs to %d:%d and is from %s", h.Name, h.Uid, h.Gid, h.ModTime)
			}
			lines = append(lines, fmt.Sprintf("%d %c %04o %s", n, h.Typeflag, h.Mode, h.Name))
		}
	}
	return lines
}

func TestContents(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dist", "something.tar")
	size, err := write(file, something, hello, []byte("certificates"))
	if err != nil {
		t.Fatal(err)
	}
	if written, err := os.ReadFile(file); err != nil || int64(len(written)) != size {
		t.Errorf("said to have written %d bytes, has %d: %v", size, len(written), err)
	}
	image := load(t, file)
	want := []string{
		"0 5 1777 tmp/",
		"0 5 0755 etc/",
		"0 0 0644 etc/passwd",
		"0 0 0644 etc/group",
		"0 5 0755 etc/ssl/",
		"0 5 0755 etc/ssl/certs/",
		"0 0 0644 etc/ssl/certs/ca-certificates.crt",
		"1 0 0755 hello",
	}
	if got := listing(t, image); !slices.Equal(got, want) {
		t.Errorf("the image holds\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := config.Config
	if config.OS != "linux" || config.Architecture != runtime.GOARCH || !config.Created.Time.Equal(epoch) {
		t.Errorf("the image is for %s/%s, of %s", config.OS, config.Architecture, config.Created)
	}
	if c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/hello"}) || len(c.Cmd) != 0 {
		t.Errorf("the image runs %v %v as %s", c.Entrypoint, c.Cmd, c.User)
	}
	if c.Labels["org.opencontainers.image.version"] != "v1.2.3" || c.Labels["org.opencontainers.image.revision"] != something.revision {
		t.Errorf("labels: %v", c.Labels)
	}
}

func TestNoCertificatesOnTheMachine(t *testing.T) {
	image, err := assemble(something, hello, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := listing(t, image); len(got) != 5 {
		t.Errorf("the image holds %v", got)
	}
}

func TestName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "image.tar")
	if _, err := write(file, about{name: "Not A Name", version: "v1"}, hello, nil); err == nil || !strings.Contains(err.Error(), "cannot be called so") {
		t.Errorf("a bad name: %v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was written: %v", err)
	}
}

// TestSameBytes makes the image of this very program twice.
func TestSameBytes(t *testing.T) {
	var made [2][]byte
	for n := range made {
		binary, err := compile(t.Context(), ".", "v1.2.3")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "image.tar")
		if _, err := write(file, something, program{"image", binary}, []byte("certificates")); err != nil {
			t.Fatal(err)
		}
		if made[n], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(made[0], made[1]) {
		t.Errorf("two builds differ: %d and %d bytes", len(made[0]), len(made[1]))
	}
}

func TestVersionIsTheInstalledOne(t *testing.T) {
	t.Chdir("../..")
	version, err := installedVersion("ghcr.io/sluice-dev/sluice")
	if err != nil || !strings.HasPrefix(version, "v") {
		t.Errorf("manifests/install has version %q, %v", version, err)
	}
	if _, err := installedVersion("example.com/other"); err == nil || !strings.Contains(err.Error(), "give -version") {
		t.Errorf("an image that is not installed: %v", err)
	}
}
