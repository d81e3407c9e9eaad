package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/manifest"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/spf13/cobra"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

func newRenderCommand() *cobra.Command {
	revision, output, limits := "", "yaml", render.DefaultLimits()
	cmd := &cobra.Command{
		Use:   "render PATH",
		Short: "Print the objects that a Kustomize directory stands for",
		Long: `Print the objects of a Kustomize directory, as kustomize build does, with the rules of the
agent: nothing is fetched, no plugin runs, and what leads out of the repository is refused.

PATH is a directory of a work tree, rendered as it is on disk; with --revision, as it is in a
commit of that repository. What an Overlay adds (patches, substitution, ownership labels) is
not in it: sluice plan shows that.

Secrets are printed as they are.`,
		Example: `  # What this directory makes
  sluice render overlays/kubeflow

  # What it made before the last commit
  sluice render overlays/kubeflow --revision HEAD~1

  # The names only
  sluice render overlays/kubeflow -o name`,
		Args: usage(cobra.ExactArgs(1), "name one directory: sluice render PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			tree, where, err := source(args[0], revision)
			if err != nil {
				return err
			}
			objects, err := build(tree, where, limits)
			if err != nil {
				return err
			}
			return printObjects(cmd.OutOrStdout(), output, objects)
		},
	}
	cmd.Flags().StringVar(&revision, "revision", "", "Commit to render: a branch, a tag, a commit, or main@4f2a9c1. Default: the work tree.")
	sizeFlags(cmd.Flags(), &limits)
	outputFlag(cmd, &output, "yaml", "json", "name")
	return cmd
}

// source opens the files that a path belongs to, and returns the path within them.
func source(name, revision string) (agent.Tree, string, error) {
	if revision != "" {
		return atRevision(name, revision)
	}
	at, err := locate(name)
	if err != nil {
		return nil, "", err
	}
	if !at.inGit {
		// Without a repository there is no boundary: bases may lie anywhere, as for kustomize.
		at.path, at.root = strings.TrimPrefix(filepath.ToSlash(at.root), "/"), "/"
	}
	tree, err := gitrepo.WorkTree(at.root)
	return tree, path.Clean(at.path), err
}

// atRevision opens a commit. The directory need not be there in the work tree any more.
func atRevision(name, revision string) (agent.Tree, string, error) {
	full, err := filepath.Abs(name)
	if err != nil {
		return nil, "", err
	}
	above := full
	for {
		if _, err := os.Stat(above); err == nil {
			break
		}
		above = filepath.Dir(above)
	}
	at, err := locate(above)
	if err != nil {
		return nil, "", err
	}
	repo, err := openClone(at.root)
	if err != nil {
		return nil, "", err
	}
	commit, err := resolve(repo, revision)
	if err != nil {
		return nil, "", err
	}
	below := strings.TrimPrefix(strings.TrimPrefix(full, above), string(filepath.Separator))
	return gitrepo.CloneTree(repo.Storer, commit), path.Join(at.path, filepath.ToSlash(below)), nil
}

// build renders a directory and puts the objects in the order of kustomize build.
func build(tree agent.Tree, dir string, limits render.Limits) (resmap.ResMap, error) {
	rendered, err := render.Build(tree, render.Spec{Path: dir}, limits)
	if e, ok := errors.AsType[*render.Error](err); ok {
		e.Message = strings.TrimPrefix(e.Message, "spec.path: ")
	}
	if err != nil {
		return nil, err
	}
	return arrange(rendered, sortOptions(tree, dir))
}

// arrange has Kustomize itself sort objects, by a kustomization that does nothing else.
func arrange(rendered []render.Rendered, order *types.SortOptions) (resmap.ResMap, error) {
	var objects bytes.Buffer
	for _, r := range rendered {
		text, err := json.Marshal(r.Fields) // which is YAML, and sooner written and read
		if err != nil {
			return nil, err
		}
		objects.WriteString("---\n")
		objects.Write(text)
		objects.WriteString("\n")
	}
	kustomization, err := yaml.Marshal(types.Kustomization{Resources: []string{"objects.yaml"}, SortOptions: order})
	if err != nil {
		return nil, err
	}
	files := filesys.MakeFsInMemory()
	err = errors.Join(files.WriteFile("objects.yaml", objects.Bytes()), files.WriteFile(konfig.DefaultKustomizationFileName(), kustomization))
	if err != nil {
		return nil, err
	}
	return krusty.MakeKustomizer(&krusty.Options{Reorder: krusty.ReorderOptionUnspecified, PluginConfig: types.DisabledPluginConfig()}).Run(files, ".")
}

// sortOptions are those of the kustomization; without any, kustomize build uses the old order.
func sortOptions(tree agent.Tree, dir string) *types.SortOptions {
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		var k types.Kustomization
		data, err := tree.ReadFile(path.Join(dir, name))
		if err == nil && yaml.Unmarshal(data, &k) == nil && k.SortOptions != nil {
			return k.SortOptions
		}
	}
	return &types.SortOptions{Order: types.LegacySortOrder}
}

func printObjects(out io.Writer, output string, objects resmap.ResMap) error {
	switch output {
	case "name":
		for _, o := range objects.Resources() {
			fields, err := o.Map()
			if err != nil {
				return err
			}
			ref, _, err := manifest.Identify(fields)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintln(out, oneLine(ref.String())); err != nil {
				return err
			}
		}
		return nil
	case "json":
		items := []json.RawMessage{}
		for _, o := range objects.Resources() {
			text, err := o.MarshalJSON()
			if err != nil {
				return err
			}
			items = append(items, text)
		}
		return encode(out, output, map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	}
	text, err := objects.AsYaml()
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}
