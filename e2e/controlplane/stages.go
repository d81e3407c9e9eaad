package main

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

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
		"pod-ready.yaml":       steered(podstages.DefaultPodReady, "ready-after", "Pending", "Crash", "Fail"),
		"pod-complete.yaml":    steered(saying(podstages.DefaultPodComplete), "complete-after", "Run"),
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
	given, err := absolutePaths(further)
	return append(files, given...), err
}

func absolutePaths(files []string) ([]string, error) {
	var paths []string
	for _, file := range files {
		path, err := filepath.Abs(file)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("a file with kwok Stages: %w", err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// steered changes a Stage of kwok's so that annotations of the pod steer it:
// fake.sluice.dev/pod set to one of the exempt fates keeps the pod from it, and
// fake.sluice.dev/DELAY puts it off for a duration ("10s").
func steered(stage, delay string, exempt ...string) string {
	stage = strings.Replace(stage, "    matchExpressions:\n", fmt.Sprintf(`    matchExpressions:
    - key: '.metadata.annotations["fake.sluice.dev/pod"]'
      operator: 'NotIn'
      values: [%s]
`, strings.Join(exempt, ", ")), 1)
	return strings.Replace(stage, "  next:\n", fmt.Sprintf(`  delay:
    durationFrom:
      expressionFrom: '.metadata.annotations["fake.sluice.dev/%s"]'
  next:
`, delay), 1)
}

// saying has the containers of a Stage of kwok's end with the termination message that an annotation of the pod
// gives.
func saying(stage string) string {
	return strings.Replace(stage, "            reason: Completed\n", `            reason: Completed
            {{ with $root.metadata.annotations }}{{ with index . "fake.sluice.dev/termination-message" }}message: {{ . | Quote }}{{ end }}{{ end }}
`, 1)
}
