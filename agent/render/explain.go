package render

import (
	"bytes"
	"errors"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/fluxcd/pkg/apis/kustomize"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
	yamlv3 "sigs.k8s.io/kustomize/kyaml/yaml"
)

// patchOf turns a patch of an Overlay into Kustomize's.
func patchOf(text string, target *kustomize.Selector) types.Patch {
	p := types.Patch{Patch: text}
	if target != nil {
		p.Target = &types.Selector{
			ResId: resid.ResId{
				Gvk:  resid.Gvk{Group: target.Group, Version: target.Version, Kind: target.Kind},
				Name: target.Name, Namespace: target.Namespace,
			},
			LabelSelector: target.LabelSelector, AnnotationSelector: target.AnnotationSelector,
		}
	}
	return p
}

var yamlLine = regexp.MustCompile(`line (\d+)`)

// unreadable tells what is wrong with a file that was read, if it is not YAML or not a
// kustomization.
func (f *files) unreadable(file string) *Error {
	data, err := f.tree.ReadFile(file)
	if err != nil {
		return nil
	}
	if kustomizationNames[path.Base(file)] {
		var k types.Kustomization
		if err := k.Unmarshal(data); err != nil {
			return broken(file, data, err)
		}
		return nil
	}
	if !strings.HasSuffix(file, ".yaml") && !strings.HasSuffix(file, ".yml") {
		return nil
	}
	decoder := yamlv3.NewDecoder(bytes.NewReader(data))
	for {
		var document yamlv3.Node
		if err := decoder.Decode(&document); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return broken(file, data, err)
		}
	}
}

var unknownField = regexp.MustCompile(`unknown field "([^"]+)"`)

func broken(file string, data []byte, err error) *Error {
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "invalid Kustomization: "), "yaml: ")
	e := invalid(file, "it is not valid: %s", strings.TrimPrefix(text, "json: "))
	if m := unknownField.FindStringSubmatch(text); m != nil {
		e.Message = "a kustomization has no field " + m[1] + ": check its spelling"
		for n, line := range bytes.Split(data, []byte("\n")) {
			if bytes.HasPrefix(bytes.TrimSpace(line), []byte(m[1]+":")) {
				e.Line = n + 1
				break
			}
		}
		return e
	}
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		e.Line, _ = strconv.Atoi(m[1]) // digits, by the pattern
		e.Message = "it is not valid YAML: " + strings.TrimPrefix(strings.TrimPrefix(text, m[0]), ": ")
	}
	return e
}

// sayings turn Kustomize's messages into sentences that say what to do.
var sayings = []struct {
	pattern *regexp.Regexp
	say     string
}{
	{regexp.MustCompile(`may not add resource with an already registered id: ([^\s']+)`), "the object $1 is there twice: take one out or rename it"},
	{regexp.MustCompile(`no resource matches strategic merge patch "([^"]+)": .*`), "the patch for $1 matches no object: mend its kind, name and namespace, or take it out"},
	{regexp.MustCompile(`no matches for Id ([^\s;]+); failed to find unique target for patch .*`), "the patch for $1 matches no object: mend its kind, name and namespace, or take it out"},
	{regexp.MustCompile(`(?s)cycle detected: candidate root '([^']+)' contains visited root '([^']+)'`), "$1 includes itself through $2: take the circle out"},
	{regexp.MustCompile(`(?s)cycle not allowed: candidate root '([^']+)' contains visited root '([^']+)'`), "$1 includes itself through $2: take the circle out"},
	{regexp.MustCompile(`expected kind != 'Component' for path '([^']+)'`), "$1 is a component: list it under components instead of resources"},
	{regexp.MustCompile(`missing metadata.name in object ([^\n]+)`), "an object has no metadata.name: $1"},
}

// translate puts Kustomize's own message into the user's words.
func (f *files) translate(err error) *Error {
	text := err.Error()
	file := ""
	for _, read := range f.read {
		if kustomizationNames[path.Base(read)] && strings.Contains(text, "'"+path.Join(treeRoot, path.Dir(read))+"'") {
			file = read // the deepest one that the message names, for it is read last
		}
	}
	text = strings.NewReplacer(treeRoot+"/", "", "../"+strings.TrimPrefix(treeRoot, "/")+"/", "", "'"+treeRoot+"'", "the root").Replace(text)
	for _, s := range sayings {
		if m := s.pattern.FindStringSubmatchIndex(text); m != nil {
			return invalid(file, "%s", s.pattern.ExpandString(nil, s.say, text, m))
		}
	}
	return invalid(file, "%s", abridge(text))
}

// abridge cuts Kustomize's nested messages to their innermost part.
func abridge(text string) string {
	for _, prefix := range []string{"accumulating resources: ", "accumulating components: ", "accumulateDirectory: "} {
		for strings.HasPrefix(text, prefix) {
			text = strings.TrimPrefix(text, prefix)
		}
	}
	const most = 1000
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = text[:most] + "…"
	}
	return text
}
