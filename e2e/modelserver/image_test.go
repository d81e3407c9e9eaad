package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/sluice-dev/sluice/e2e/node"
)

// TestImage makes the image as the tests of the real node do, and looks into it.
func TestImage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "modelserver.tar")
	if err := node.BuildImage(t.Context(), file, "-package", "./e2e/modelserver", "-name", "example.com/modelserver", "-version", "v1"); err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c := config.Config; !slices.Equal(c.Entrypoint, []string{"/modelserver"}) || c.User != "65532:65532" {
		t.Errorf("it runs %v as %s", c.Entrypoint, c.User)
	}
	content := mutate.Extract(image)
	defer content.Close()
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if err != nil {
			t.Fatalf("no program: %v", err)
		}
		if header.Name != "modelserver" {
			continue
		}
		binary, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		program, err := elf.NewFile(bytes.NewReader(binary))
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
			t.Error("the program is not static")
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("the program has %.1f MB, the image %.1f MB", float64(len(binary))/1e6, float64(info.Size())/1e6)
		return
	}
}
