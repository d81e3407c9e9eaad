package render_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/sluice-dev/sluice/agent/render"
)

// addresses are all forms of remote bases; %s is a server that counts its visitors.
var addresses = []string{
	"http://%s/org/repo", "https://%s/org/repo?ref=main", "HTTPS://%s/org/repo//path?timeout=1s",
	"git::http://%s/org/repo", "git::https://user:hunter22@%s/org/repo.git", "GIT::ssh://git@%s/org/repo",
	"ssh://git@%s/org/repo.git", "file:///tmp/repo.git", "git@%s:org/repo", "user@%s/org/repo", "org-1234@github.com:org/repo",
	"github.com/org/repo", "github.com:org/repo", "GitHub.com/org/repo?ref=v1", "git::github.com/org/repo",
	"gitlab.com/org/repo", "git.example.com:org/repo", "example.com/org/repo.git?ref=main", "dev.azure.com/org/project/_git/repo",
	"oci://registry/x", "s3://bucket/x",
}

// entries are all places of a kustomization in which a file or directory is named.
var entries = []string{
	"resources: ['%s']", "bases: ['%s']", "components: ['%s']",
	"generators: ['%s']", "transformers: ['%s']", "validators: ['%s']",
}

// fileEntries are those in which only a file can be named.
var fileEntries = []string{
	"crds: ['%s']", "configurations: ['%s']", "openapi: {path: '%s'}",
	"patches: [{path: '%s'}]", "patchesStrategicMerge: ['%s']", "patchesJson6902: [{path: '%s', target: {kind: X}}]",
	"replacements: [{path: '%s'}]",
	"configMapGenerator: [{name: a, files: ['%s']}]", "configMapGenerator: [{name: a, files: ['key=%s']}]",
	"secretGenerator: [{name: a, envs: ['%s']}]", "secretGenerator: [{name: a, env: '%s'}]",
	"transformers: [\"apiVersion: builtin\\nkind: PatchTransformer\\nmetadata: {name: a}\\npath: '%s'\\n\"]",
	"transformers: ['{apiVersion: builtin, kind: PatchTransformer, metadata: {name: a}, path: \"%s\"}']",
	"generators: [plugin.yaml]",
}

// trap counts who comes by: over HTTP, and as a command named git.
func trap(t *testing.T) (address string, visitors func() int) {
	t.Helper()
	var seen atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { seen.Add(1); w.WriteHeader(404) }))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	for _, command := range []string{"git", "helm", "ssh", "docker"} {
		script := fmt.Sprintf("#!/bin/sh\necho called >> %s/calls\nexit 1\n", dir)
		if err := os.WriteFile(filepath.Join(dir, command), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	return strings.TrimPrefix(server.URL, "http://"), func() int {
		calls, _ := os.ReadFile(filepath.Join(dir, "calls"))
		return int(seen.Load()) + strings.Count(string(calls), "called")
	}
}

// Every address in every place is refused, and nobody is asked for anything.
func TestRemoteBasesAreRefused(t *testing.T) {
	server, visitors := trap(t)
	try := func(entry, address string) {
		if strings.Contains(address, "%s") {
			address = fmt.Sprintf(address, server)
		}
		text, plugin := entry, "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: a}\nfiles: ['"+address+"']\n"
		if strings.Contains(entry, "%s") {
			text = fmt.Sprintf(entry, address)
		}
		tree := fstest.MapFS{
			"top/kustomization.yaml":  {Data: []byte("resources: [../base]\n")},
			"base/kustomization.yaml": {Data: []byte(text + "\n")},
			"base/plugin.yaml":        {Data: []byte(plugin)},
		}
		_, err := render.Render(tree, render.Spec{Path: "top"}, render.DefaultLimits())
		e, ok := errors.AsType[*render.Error](err)
		if !ok || e.Kind != render.Refused || !strings.HasPrefix(e.File, "base/") || e.Line < 1 ||
			!strings.Contains(e.Message, "is a remote base, and nothing is fetched while rendering") || strings.Contains(e.Message, "hunter22") {
			t.Errorf("%s: %v", text, err)
		}
		if n := visitors(); n > 0 {
			t.Fatalf("%s: %d calls", text, n)
		}
	}
	for _, address := range addresses {
		for _, entry := range entries {
			try(entry, address)
		}
	}
	for _, entry := range fileEntries {
		try(entry, "http://%s/x.yaml")
		try(entry, "HTTPS://%s/x.yaml")
	}
}

// A plugin's configuration that only becomes remote while Kustomize works on it finds no
// network in a worker.
func TestRemoteInTheMakingFindsNoNetwork(t *testing.T) {
	server, visitors := trap(t)
	pool := newPool(t, 1, workerLimits)
	for _, r := range []string{
		"kind: ConfigMapGenerator\nmetadata: {name: a}\nfiles: [x]\n|- {op: replace, path: /files/0, value: 'http://" + server + "/x'}",
		"kind: HelmX\nmetadata: {name: a}\nname: x\nrepo: http://" + server + "\n|- {op: replace, path: /kind, value: HelmChartInflationGenerator}",
	} {
		plugin, patch, _ := strings.Cut(r, "|")
		dir := onDiskCopy(t, fstest.MapFS{
			"kustomization.yaml":     {Data: []byte("generators: [gen]\n")},
			"gen/kustomization.yaml": {Data: []byte("resources: [g.yaml]\npatches:\n- target: {name: a}\n  patch: |\n    " + patch + "\n")},
			"gen/g.yaml":             {Data: []byte("apiVersion: builtin\n" + plugin)},
		})
		_, err := pool.Render(t.Context(), render.Request{Source: render.Source{Dir: dir}, Spec: render.Spec{Path: "."}})
		if err == nil {
			t.Error("it was rendered")
		}
		t.Log(err)
		if n := visitors(); n > 0 {
			t.Fatalf("%d calls: %v", n, err)
		}
	}
}

// Names that merely look like addresses are files when they are there.
func TestNotRemote(t *testing.T) {
	object := []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n")
	for _, name := range []string{"icons@2x.yaml", "v1.2/a.yaml", "./github.com/a.yaml", "charts.example.com/a.yaml", "repo.git/a.yaml", "a:b.yaml", "https/a.yaml"} {
		tree := fstest.MapFS{
			"kustomization.yaml":           {Data: []byte("namePrefix: ''\nnameSuffix: ''\nlabels: []\nresources: ['" + name + "']\n")},
			strings.TrimPrefix(name, "./"): {Data: object},
		}
		if _, err := render.Render(tree, render.Spec{Path: "."}, render.DefaultLimits()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
