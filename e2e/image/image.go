package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// about is what an image says of itself.
type about struct{ name, version, revision string }

// program is what an image runs.
type program struct {
	name    string
	content []byte
}

// write makes an image and writes it to a tar file. It returns the size of the file.
func write(path string, a about, p program, authorities []byte) (int64, error) {
	tag, err := name.NewTag(a.name+":"+a.version, name.StrictValidation)
	if err != nil {
		return 0, fmt.Errorf("the image cannot be called so: %w", err)
	}
	image, err := assemble(a, p, authorities)
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return 0, err
	}
	if err := tarball.WriteToFile(path, tag, image); err != nil {
		return 0, fmt.Errorf("writing %s: %w", path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// assemble puts an image together: one layer that hardly ever changes, one with the program.
func assemble(a about, p program, authorities []byte) (v1.Image, error) {
	base, err := layer(root(authorities)...)
	if err != nil {
		return nil, err
	}
	top, err := layer(entry{path: p.name, mode: 0o755, content: p.content})
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, base, top)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", runtime.GOARCH, v1.Time{Time: epoch}
	config.Config = v1.Config{
		Entrypoint: []string{"/" + p.name},
		User:       user + ":" + user,
		WorkingDir: "/",
		Env:        []string{"HOME=/tmp", "PATH=/"},
		Labels: map[string]string{
			"org.opencontainers.image.title":    p.name,
			"org.opencontainers.image.version":  a.version,
			"org.opencontainers.image.revision": a.revision,
			"org.opencontainers.image.source":   "https://github.com/sluice-dev/sluice",
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(image, config)
}
