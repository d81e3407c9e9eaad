package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// entry is one file of a layer, or a directory if its path ends with a slash.
type entry struct {
	path    string
	mode    int64
	content []byte
}

// epoch is the time of everything in an image: a time that is always the same.
var epoch = time.Unix(0, 0).UTC()

// user is who the program runs as; nonroot to those who know other images by it.
const (
	user   = "65532"
	passwd = "root:x:0:0:root:/:/none\nnonroot:x:65532:65532:nonroot:/tmp:/none\n"
	group  = "root:x:0:\nnonroot:x:65532:\n"
)

// root is what a program finds around itself.
func root(authorities []byte) []entry {
	files := []entry{
		{path: "tmp/", mode: 0o1777},
		{path: "etc/", mode: 0o755},
		{path: "etc/passwd", mode: 0o644, content: []byte(passwd)},
		{path: "etc/group", mode: 0o644, content: []byte(group)},
	}
	if len(authorities) == 0 {
		return files
	}
	return append(files,
		entry{path: "etc/ssl/", mode: 0o755},
		entry{path: "etc/ssl/certs/", mode: 0o755},
		entry{path: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: authorities},
	)
}

// authorities are the CA certificates that this machine trusts, if it has any.
func authorities() []byte {
	for _, file := range []string{
		"/etc/ssl/certs/ca-certificates.crt", // Debian, Alpine, Arch
		"/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, RHEL
		"/etc/ssl/ca-bundle.pem",             // openSUSE
	} {
		content, err := os.ReadFile(file)
		if err == nil {
			return content
		}
		if !errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintln(os.Stderr, "image: without CA certificates of this machine:", err)
		}
	}
	return nil
}

// layer packs files, all of which belong to root.
func layer(files ...entry) (v1.Layer, error) {
	var packed bytes.Buffer
	archive := tar.NewWriter(&packed)
	for _, file := range files {
		header := &tar.Header{Name: file.path, Mode: file.mode, Size: int64(len(file.content)), ModTime: epoch, Typeflag: tar.TypeReg}
		if file.path[len(file.path)-1] == '/' {
			header.Typeflag = tar.TypeDir
		}
		if err := archive.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("packing %s: %w", file.path, err)
		}
		if _, err := archive.Write(file.content); err != nil {
			return nil, fmt.Errorf("packing %s: %w", file.path, err)
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(packed.Bytes())), nil
	}, tarball.WithCompressedCaching)
}
