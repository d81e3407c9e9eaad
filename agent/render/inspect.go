package render

import (
	"errors"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// kustomizationNames are the names under which Kustomize finds a kustomization.
var kustomizationNames = map[string]bool{"kustomization.yaml": true, "kustomization.yml": true, "Kustomization": true}

// references are the entries of a kustomization that name files or directories. It is read
// leniently: what is not understood here is Kustomize's to complain about.
type references struct {
	Resources             []string
	Bases                 []string
	Components            []string
	Crds                  []string
	Configurations        []string
	Generators            []string
	Transformers          []string
	Validators            []string
	PatchesStrategicMerge []string
	Patches               []struct{ Path string }
	PatchesJson6902       []struct{ Path string }
	Replacements          []struct{ Path string }
	OpenAPI               map[string]string
	ConfigMapGenerator    []generator
	SecretGenerator       []generator
	HelmCharts            []any
	HelmChartInflation    []any `json:"helmChartInflationGenerator"`
}

type generator struct {
	Files []string
	Envs  []string
	Env   string
}

// inspect refuses what would make Kustomize reach out of the tree. It checks entries that may
// be directories more closely than others, because Kustomize takes any that it does not find
// for the address of a Git repository.
func (f *files) inspect(file string, data []byte) *Error {
	var r references
	if err := yaml.Unmarshal(data, &r); err != nil {
		return nil // Kustomize says it better, and stops here too
	}
	if len(r.HelmCharts)+len(r.HelmChartInflation) > 0 {
		return refused(file, "Helm charts are not inflated: render the chart into the repository and use the result")
	}
	for _, entries := range [][]string{r.Resources, r.Bases, r.Components} {
		for _, entry := range entries {
			if e := f.inspectBase(file, entry); e != nil {
				return e
			}
		}
	}
	for _, entries := range [][]string{r.Generators, r.Transformers, r.Validators} {
		for _, entry := range entries {
			if inline(entry) {
				continue
			}
			if e := f.inspectBase(file, entry); e != nil {
				return e
			}
		}
	}
	for _, entry := range r.plainFiles() {
		if remote(entry) && !inline(entry) {
			return refuseRemote(file, entry)
		}
	}
	return nil
}

// plainFiles are the entries that can only be files.
func (r references) plainFiles() []string {
	list := append(append(append([]string{}, r.Crds...), r.Configurations...), r.PatchesStrategicMerge...)
	for _, p := range r.Patches {
		list = append(list, p.Path)
	}
	for _, p := range r.PatchesJson6902 {
		list = append(list, p.Path)
	}
	for _, p := range r.Replacements {
		list = append(list, p.Path)
	}
	list = append(list, r.OpenAPI["path"])
	for _, g := range append(r.ConfigMapGenerator, r.SecretGenerator...) {
		list = append(append(list, g.Envs...), g.Env)
		for _, entry := range g.Files {
			if _, source, named := strings.Cut(entry, "="); named {
				entry = source
			}
			list = append(list, entry)
		}
	}
	return list
}

func (f *files) inspectBase(file, entry string) *Error {
	if remote(entry) {
		return refuseRemote(file, entry)
	}
	if path.IsAbs(entry) {
		return refused(file, "%s is an absolute path: use one relative to this file", printable(entry))
	}
	target := path.Join(treeRoot, path.Dir(file), entry)
	if target != treeRoot && !strings.HasPrefix(target, treeRoot+"/") {
		return refused(file, "%s leads out of the repository", printable(entry))
	}
	if _, _, err := f.locate(target); err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			return e
		}
		if shorthand.MatchString(entry) {
			return refuseRemote(file, entry)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return invalid(file, "%s is not there: add the file or take the entry out", printable(entry))
		}
		return invalid(file, "%s cannot be read: %v", printable(entry), err)
	}
	return nil
}

// remote tells whether an entry is an address beyond doubt.
func remote(entry string) bool {
	return strings.Contains(entry, "://") || strings.HasPrefix(entry, "git::") || strings.HasPrefix(entry, "git@")
}

// shorthand matches what Kustomize takes for a Git address when no such file is there.
var shorthand = regexp.MustCompile(`^[\w.-]+@[\w.-]+:|^(github|gitlab|bitbucket)\.\w+[/:]|\.git([/?]|$)|\?(ref|version|timeout|submodules)=|^gh:|_git/|//`)

func inline(entry string) bool { return strings.ContainsAny(entry, "\n") }

func refuseRemote(file, entry string) *Error {
	return refused(file, "%s is a remote base, and nothing is fetched while rendering: copy it into the repository and name the copy here", printable(stripCredentials(entry)))
}

var credentials = regexp.MustCompile(`://[^/@]*@`)

func stripCredentials(entry string) string { return credentials.ReplaceAllString(entry, "://") }
