//lint:file-ignore SA1019 Kustomize still honours the fields it calls deprecated, and the platform uses them.

package render

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// isKustomization tells whether Kustomize takes a file of this name for a kustomization.
func isKustomization(file string) bool {
	return slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(file))
}

// inspect looks through a file before Kustomize gets it. Name is how it was asked for, which
// is what its entries are relative to; file is where it is in the tree.
func (f *files) inspect(name, file string, data []byte) *Error {
	if isKustomization(name) {
		return f.inspectKustomization(name, file, data)
	}
	if f.opaque[file] {
		return nil
	}
	f.documents += bytes.Count(data, []byte("\nkind:"))
	if f.documents > f.limits.Objects {
		return overLimit("more than %d objects were read, which is the limit: split the overlay, or raise --render-objects", f.limits.Objects)
	}
	if e := inspectAliases(file, data); e != nil {
		return e
	}
	return inspectPlugins(file, 0, data)
}

// inspectKustomization refuses what would make Kustomize reach out of the tree, and says
// what is missing: Kustomize takes a directory that it does not find for the address of a
// Git repository.
func (f *files) inspectKustomization(name, file string, data []byte) *Error {
	var k types.Kustomization
	if err := k.Unmarshal(data); err != nil {
		return broken(file, data, err)
	}
	f.schema = f.schema || len(k.OpenAPI) > 0
	if f.ties != nil {
		f.tie(path.Dir(name), k)
	}
	if e := inspectPatches(k, file, data); e != nil {
		return e
	}
	if len(k.HelmCharts)+len(k.HelmChartInflationGenerator) > 0 {
		e := refused(file, "Helm charts are not inflated: render the chart into the repository and list the result under resources")
		e.Line = lineOf(data, "helmChart")
		return e
	}
	for _, e := range entriesOf(k) {
		if e.inline() {
			at, text := lineOf(data, e.path), []byte(e.path)
			if problem := inspectAliases(file, text); problem != nil {
				problem.Line = at
				return problem
			}
			if problem := inspectPlugins(file, at-1, text); problem != nil {
				return problem
			}
			continue
		}
		if problem := f.inspectEntry(path.Dir(name), e); problem != nil {
			if problem.File == "" {
				problem.File, problem.Line = file, lineOf(data, e.path)
			}
			return problem
		}
	}
	return nil
}

// inspectPatches refuses patches, written out in a kustomization, that aliases blow up.
func inspectPatches(k types.Kustomization, file string, data []byte) *Error {
	for _, p := range slices.Concat(k.Patches, k.PatchesJson6902) {
		if e := inspectAliases(file, []byte(p.Patch)); e != nil {
			e.Line = lineOf(data, p.Patch)
			return e
		}
	}
	return nil
}

// entry is one mention of a file or directory in a kustomization.
type entry struct {
	path string
	// configuration: it may be written out in place.
	configuration bool
	// base: it may be a directory.
	base bool
	// opaque: the file is taken as it is.
	opaque bool
}

// inline tells whether an entry is not a path but the thing itself.
func (e entry) inline() bool {
	return e.configuration && (strings.Contains(e.path, "\n") || strings.HasPrefix(strings.TrimSpace(e.path), "{"))
}

// entriesOf lists all that a kustomization mentions.
func entriesOf(k types.Kustomization) []entry {
	var list []entry
	add := func(like entry, paths ...string) {
		for _, p := range paths {
			if p != "" {
				like.path = p
				list = append(list, like)
			}
		}
	}
	add(entry{base: true}, slices.Concat(k.Resources, k.Bases, k.Components)...)
	add(entry{base: true, configuration: true}, slices.Concat(k.Generators, k.Transformers, k.Validators)...)
	add(entry{}, slices.Concat(k.Crds, k.Configurations)...)
	for _, p := range k.PatchesStrategicMerge {
		add(entry{configuration: true}, string(p))
	}
	for _, p := range slices.Concat(k.Patches, k.PatchesJson6902) {
		add(entry{}, p.Path)
	}
	for _, r := range k.Replacements {
		add(entry{}, r.Path)
	}
	add(entry{}, k.OpenAPI["path"])
	for _, g := range k.ConfigMapGenerator {
		add(entry{opaque: true}, sourcesOf(g.KvPairSources)...)
	}
	for _, g := range k.SecretGenerator {
		add(entry{opaque: true}, sourcesOf(g.KvPairSources)...)
	}
	return list
}

// sourcesOf lists the files of a generator, without the keys under which they go.
func sourcesOf(g types.KvPairSources) []string {
	list := append(slices.Clone(g.EnvSources), g.EnvSource)
	for _, source := range g.FileSources {
		if _, file, named := strings.Cut(source, "="); named {
			source = file
		}
		list = append(list, source)
	}
	return list
}

// inspectEntry checks one entry of the kustomization in a directory.
func (f *files) inspectEntry(dir string, e entry) *Error {
	switch {
	case remote.MatchString(e.path), e.base && remoteBase.MatchString(e.path):
		return refuseRemote(e.path)
	case path.IsAbs(e.path):
		return refused("", "%s is an absolute path: use one relative to this file", printable(e.path))
	}
	target := path.Join(dir, e.path)
	if target != treeRoot && !strings.HasPrefix(target, treeRoot+"/") {
		return refused("", "%s leads out of the repository: point it inside, or put the files there", printable(e.path))
	}
	file, info, err := f.locate(target)
	switch {
	case err == nil && e.opaque:
		if f.opaque == nil {
			f.opaque = map[string]bool{}
		}
		f.opaque[file] = true
		return nil
	case err == nil && info.IsDir() && !e.base:
		return invalid("", "%s is a directory, and a file is needed here: name a file in it", printable(e.path))
	case err == nil && info.IsDir() && !f.hasKustomization(target):
		return invalid("", "the directory %s has no kustomization.yaml: add one, or list its files here", printable(e.path))
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		if e, ok := errors.AsType[*Error](err); ok {
			return e
		}
		return &Error{Kind: Unavailable, Message: printable(e.path) + " cannot be read: " + cause(err)}
	case e.base && hosted.MatchString(e.path):
		return refuseRemote(e.path)
	}
	return invalid("", "%s is not there: add the file, or take the entry out", printable(e.path))
}

func (f *files) hasKustomization(dir string) bool {
	return slices.ContainsFunc(konfig.RecognizedKustomizationFileNames(), func(name string) bool {
		return f.Exists(path.Join(dir, name))
	})
}

var (
	// remote matches an address beyond doubt.
	remote = regexp.MustCompile(`(?i)^\s*(git::|[a-z][a-z0-9+.-]*://|https?:)`)
	// remoteBase matches what Kustomize takes for the address of a Git repository, even if a
	// directory of that name is there.
	remoteBase = regexp.MustCompile(`(?i)^([a-z][a-z0-9-]*@[^/:]*[/:]|github\.com[/:])`)
	// hosted matches what is meant as an address if no such file is there.
	hosted = regexp.MustCompile(`(?i)^[\w-]+(\.[\w-]+)*\.(com|org|net|io|dev|cloud|local|internal)[/:]|^[\w.-]+:|\.git([/?]|$)|[?](ref|version|timeout|submodules)=|_git/`)
)

func refuseRemote(address string) *Error {
	message := printable(credentials.ReplaceAllString(address, "://")) + " is a remote base, and nothing is fetched while rendering: copy it into the repository and name the copy here"
	if !remote.MatchString(address) {
		message += " (write ./ before it if it is a path)"
	}
	return &Error{Kind: Refused, Message: message}
}

// credentials matches a name and password in an address.
var credentials = regexp.MustCompile(`://[^/]*@`)

// pluginPaths are the fields in which Kustomize's built-in plugins name files.
var pluginPaths = map[string]bool{"path": true, "paths": true, "files": true, "env": true, "envs": true}

// inspectPlugins refuses configurations of built-in plugins that would fetch something. They
// are the only objects by which Kustomize reads more files; offset is the line before data.
func inspectPlugins(file string, offset int, data []byte) *Error {
	if !bytes.Contains(data, []byte("builtin")) {
		return nil
	}
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var document yaml.Node
		if err := decoder.Decode(&document); err != nil {
			return nil // the end, or what Kustomize cannot read either
		}
		object := yaml.NewRNode(&document)
		if object.GetApiVersion() != "builtin" {
			continue
		}
		if kind := object.GetKind(); strings.HasPrefix(kind, "HelmChart") {
			return refused(file, "Helm charts are not inflated: render the chart into the repository and list the result under resources")
		}
		if found := remoteIn(object.YNode(), false); found != nil {
			e := refuseRemote(found.Value)
			e.File, e.Line = file, max(offset, 0)+found.Line
			return e
		}
	}
}

// remoteIn finds an address where a plugin's configuration names files.
func remoteIn(node *yaml.Node, named bool) *yaml.Node {
	if node.Kind == yaml.ScalarNode && named {
		_, source, ok := strings.Cut(node.Value, "=")
		if remote.MatchString(node.Value) || ok && remote.MatchString(source) {
			return node
		}
	}
	for n, child := range node.Content {
		inFiles := named
		if node.Kind == yaml.MappingNode && n%2 == 1 {
			inFiles = pluginPaths[node.Content[n-1].Value]
		}
		if found := remoteIn(child, inFiles); found != nil {
			return found
		}
	}
	return nil
}

// lineOf finds the line, counted from 1, that mentions something first; 0 if none does.
func lineOf(data []byte, mention string) int {
	mention, _, _ = strings.Cut(strings.TrimSpace(mention), "\n")
	for n, line := range bytes.Split(data, []byte("\n")) {
		if text := bytes.TrimSpace(line); bytes.Contains(text, []byte(mention)) && !bytes.HasPrefix(text, []byte("#")) {
			return n + 1
		}
	}
	return 0
}
