package main

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	nodestages "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	podstages "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
)

//go:embed stages/*.yaml
var ownStages embed.FS

// writeStages puts the Stages kwok walks objects through into files, kwok's own and ours,
// and returns all files, those of the caller last.
func writeStages(l layout, further []string) ([]string, error) {
	stages := map[string]string{
		"node-initialize.yaml": nodestages.DefaultNodeInit,
		"pod-ready.yaml":       podstages.DefaultPodReady,
		"pod-complete.yaml":    podstages.DefaultPodComplete,
		"pod-delete.yaml":      podstages.DefaultPodDelete,
	}
	own, err := fs.Glob(ownStages, "stages/*.yaml")
	if err != nil {
		return nil, err
	}
	for _, name := range own {
		content, err := ownStages.ReadFile(name)
		if err != nil {
			return nil, err
		}
		stages[filepath.Base(name)] = string(content)
	}

	var files []string
	for name, content := range stages {
		file := l.path("run", "stage-"+name)
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	for _, file := range further {
		absolute, err := filepath.Abs(file)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(absolute); err != nil {
			return nil, fmt.Errorf("--kwok-stages: %w", err)
		}
		files = append(files, absolute)
	}
	return files, nil
}
