package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

// installedVersion is the tag that manifests/install gives to an image: what is built by
// default is what is installed by default.
func installedVersion(name string) (string, error) {
	file := filepath.Join("manifests", "install", "kustomization.yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("the version that is installed: %w; run from the top of the checkout, or give -version", err)
	}
	var kustomization types.Kustomization
	if err := yaml.Unmarshal(content, &kustomization); err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	for _, image := range kustomization.Images {
		if image.Name == name && image.NewTag != "" {
			return image.NewTag, nil
		}
	}
	return "", fmt.Errorf("%s names no version of %s: give -version", file, name)
}

// revision is the commit that is checked out, or empty where there is none.
func revision(ctx context.Context) string {
	commit, err := exec.CommandContext(ctx, "git", "rev-parse", "HEAD").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(commit))
}
