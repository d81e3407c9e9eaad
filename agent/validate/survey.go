package validate

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
)

// survey is what there is below a directory.
type survey struct {
	// kustomizations, by their directory, with the name of the file.
	kustomizations map[string]string
	components     map[string]bool
	// named are the files and directories that a kustomization names.
	named map[string]bool
	// manifests are all YAML files that are no kustomizations.
	manifests []string
}

// look goes through a directory. Hidden directories and symbolic links are passed over.
func look(tree agent.Tree, dir string) (survey, error) {
	s := survey{kustomizations: map[string]string{}, components: map[string]bool{}, named: map[string]bool{}}
	err := fs.WalkDir(tree, dir, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && strings.HasPrefix(e.Name(), ".") && name != dir:
			return fs.SkipDir
		case !e.Type().IsRegular():
		case slices.Contains(konfig.RecognizedKustomizationFileNames(), e.Name()):
			return s.read(tree, name)
		case path.Ext(name) == ".yaml" || path.Ext(name) == ".yml":
			s.manifests = append(s.manifests, name)
		}
		return nil
	})
	return s, err
}

// read notes what a kustomization names. One that cannot be read names nothing; rendering it
// will say why.
func (s survey) read(tree agent.Tree, name string) error {
	text, err := tree.ReadFile(name)
	if err != nil {
		return err
	}
	dir := path.Dir(name)
	s.kustomizations[dir] = name
	var k naming
	if err := yaml.Unmarshal(text, &k); err != nil {
		return nil
	}
	s.components[dir] = k.Kind == types.ComponentKind
	for _, entry := range k.entries() {
		s.named[path.Join(dir, entry)] = true
	}
	return nil
}

// naming is what of a kustomization names files and directories, old fields among them.
type naming struct {
	Kind                                                        string
	Resources, Bases, Components, Crds, Configurations          []string
	Generators, Transformers, Validators, PatchesStrategicMerge []string
	Patches, PatchesJson6902, Replacements                      []struct{ Path string }
	ConfigMapGenerator, SecretGenerator                         []struct {
		Files, Envs []string
		Env         string
	}
	OpenAPI struct{ Path string }
}

// entries lists the files and directories.
func (k naming) entries() []string {
	list := slices.Concat(k.Resources, k.Bases, k.Components, k.Crds, k.Configurations, k.Generators, k.Transformers, k.Validators, k.PatchesStrategicMerge)
	for _, p := range slices.Concat(k.Patches, k.PatchesJson6902, k.Replacements) {
		list = append(list, p.Path)
	}
	for _, g := range slices.Concat(k.ConfigMapGenerator, k.SecretGenerator) {
		list = append(append(list, g.Envs...), g.Env)
		for _, entry := range g.Files {
			if _, file, named := strings.Cut(entry, "="); named {
				entry = file
			}
			list = append(list, entry)
		}
	}
	return slices.DeleteFunc(append(list, k.OpenAPI.Path), func(entry string) bool { return entry == "" })
}

// roots lists the directories that are built by themselves: the kustomizations that no other
// one names.
func (s survey) roots() []string {
	var dirs []string
	for _, dir := range slices.Sorted(maps.Keys(s.kustomizations)) {
		if !s.named[dir] && !s.components[dir] {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// bare tells whether there are manifests and no kustomization: then the directory stands for
// all of them, as it does for an Overlay.
func (s survey) bare() bool { return len(s.kustomizations) == 0 && len(s.manifests) > 0 }

// plain lists the manifests that no kustomization names.
func (s survey) plain() []string {
	return slices.DeleteFunc(slices.Clone(s.manifests), func(name string) bool { return s.named[name] })
}

// document is one YAML document of a file.
type document struct {
	line   int
	fields map[string]any
	err    error // in place of fields
}

// documentsOf reads the documents of a file that are about Sluice's kinds. Others are not
// even parsed: what no kustomization names may be anything.
func documentsOf(text []byte) []document {
	var found []document
	line := 1
	for part := range bytes.SplitSeq(append([]byte("\n"), text...), []byte("\n---")) {
		if bytes.Contains(part, []byte("\napiVersion: sluice.dev/")) {
			blank := len(part) - len(bytes.TrimLeft(part, " \r\n"))
			d := document{line: line + bytes.Count(part[:blank], []byte("\n")) - 1}
			if err := yaml.Unmarshal(part, &d.fields); err != nil {
				d.line, d.err = explainYAML(err, line-2, d.line)
			}
			found = append(found, d)
		}
		line += bytes.Count(part, []byte("\n")) + 1
	}
	return found
}

// yamlLine is how the parser says where an error is.
var yamlLine = regexp.MustCompile(`^.*yaml: (?:line (\d+): )?`)

// explainYAML finds the line of a parser's error, in a document that has so many lines before it.
func explainYAML(err error, before, start int) (int, error) {
	match := yamlLine.FindStringSubmatch(err.Error())
	if match == nil {
		return start, err
	}
	if n, notThere := strconv.Atoi(match[1]); notThere == nil {
		start = before + n
	}
	return start, fmt.Errorf("this is no YAML: %s", strings.TrimPrefix(err.Error(), match[0]))
}

// fieldLine looks, from the line at which a document begins, for the last name of a field's
// path, and keeps to that line if it is not there: patches and generators write fields too.
func fieldLine(text []byte, start int, field string) int {
	name := field[strings.LastIndexAny(field, ".]")+1:]
	if name == "" {
		return start
	}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		switch {
		case n < start:
		case n > start && bytes.HasPrefix(line, []byte("---")):
			return start // the next document
		case bytes.HasPrefix(bytes.TrimLeft(line, " -"), []byte(name+":")):
			return n
		}
	}
	return start
}
