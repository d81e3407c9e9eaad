package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sluice-dev/sluice/agent/proposal"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
)

// addToKustomization adds a file to the resources of the kustomization in its directory, which is
// made if there is none. It returns the name of the kustomization, and whether it was changed.
func addToKustomization(dir, resource string) (file string, added bool, err error) {
	file = filepath.Join(dir, konfig.DefaultKustomizationFileName())
	text := fmt.Appendf(nil, "apiVersion: %s\nkind: %s\n", types.KustomizationVersion, types.KustomizationKind)
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		there, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			file, text = filepath.Join(dir, name), there
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return file, false, err
		}
	}
	changed, err := proposal.AddResource(text, resource)
	if err != nil {
		return file, false, fmt.Errorf("%s: %w", file, err)
	}
	if bytes.Equal(changed, text) {
		return file, false, nil
	}
	return file, true, replaceFile(file, changed)
}
