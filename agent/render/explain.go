package render

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/manifest"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// mostExplained is how many bytes are read again to find out what is wrong.
const mostExplained = 64 << 20

// explain says what is wrong in the user's words: the file that does not parse, else what
// Kustomize said, with paths as the user knows them.
func (f *files) explain(err error, spec Spec) error {
	if f.refusal != nil {
		return f.refusal
	}
	if e := f.unreadable(); e != nil {
		return e
	}
	e := f.translate(err.Error())
	e.Message = f.withoutSecrets(e.Message, spec)
	return e
}

// distinct returns the files that were read, the last one first.
func (f *files) distinct() []string {
	var list []string
	seen := map[string]bool{}
	for _, file := range slices.Backward(f.read) {
		if !seen[file] {
			seen[file] = true
			list = append(list, file)
		}
	}
	return list
}

// unreadable finds the file that is not YAML. Kustomize stops at the first.
func (f *files) unreadable() *Error {
	left := mostExplained
	for _, file := range f.distinct() {
		if f.opaque[file] || isKustomization(file) || !isManifest(file) {
			continue
		}
		data, err := f.tree.ReadFile(file)
		if left -= len(data); err != nil || left < 0 {
			return nil
		}
		if e := f.explainDocuments(file, data); e != nil {
			return e
		}
	}
	return nil
}

// explainFile says why the objects of a file cannot be read.
func (f *files) explainFile(file string, data []byte, err error) *Error {
	if e := f.explainDocuments(file, data); e != nil {
		return e
	}
	e := f.translate(err.Error())
	e.File = file
	return e
}

// explainDocuments finds what is wrong with a file of objects, if it is something that can be
// seen in it alone.
func (f *files) explainDocuments(file string, data []byte) *Error {
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var document yaml.Node
		if err := decoder.Decode(&document); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return broken(file, data, err)
		}
	}
}

var (
	// An unknown anchor is named without quotes; it may be a password that begins with *.
	anchor       = regexp.MustCompile(`unknown anchor .*`)
	yamlLine     = regexp.MustCompile(`line (\d+)(?:, column \d+)?: `)
	unknownField = regexp.MustCompile(`unknown field "([^"]+)"`)
	wrongType    = regexp.MustCompile(`cannot unmarshal (\w+) into Go (?:struct field \w+\.(\S+)|value) of type (\S+)`)
	quotedText   = regexp.MustCompile("'[^']*'|\"[^\"]*\"|`[^`]*`")
)

// broken says why a file does not parse. Nothing of what is in the file is repeated, except
// the names of unknown fields of a kustomization.
func broken(file string, data []byte, err error) *Error {
	text := err.Error()
	if m := unknownField.FindStringSubmatch(text); m != nil {
		e := invalid(file, "a kustomization has no field %s: mend its spelling, or take it out", printable(m[1]))
		e.Line = lineOf(data, m[1]+":")
		return e
	}
	if m := wrongType.FindStringSubmatch(text); m != nil && m[2] != "" {
		field := strings.TrimPrefix(m[2], "Kustomization.")
		e := invalid(file, "%s is %s, and %s is needed: mend it", field, article(m[1]), kindOf(m[3]))
		e.Line = lineOf(data, field[strings.LastIndexByte(field, '.')+1:]+":")
		return e
	}
	e := invalid(file, "it is not valid YAML: mend it")
	if m := yamlLine.FindStringSubmatchIndex(text); m != nil {
		e.Line, _ = strconv.Atoi(text[m[2]:m[3]]) // digits, by the pattern
		text = text[m[1]:]
	} else if _, problem, ok := strings.Cut(text, "yaml: "); ok {
		text = problem
	} else {
		return e
	}
	e.Message = "it is not valid YAML (" + problemOf(text) + "): mend it"
	return e
}

// problemOf keeps the parser's own words: what it quotes from the file may be secret.
func problemOf(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	text = anchor.ReplaceAllString(text, "there is no anchor for an alias; a value that begins with * needs quotes")
	return strings.TrimSpace(quotedText.ReplaceAllStringFunc(text, func(quoted string) string {
		if len(quoted) <= len("','") {
			return quoted // punctuation that is missing
		}
		return "…"
	}))
}

// article and kindOf name types for people.
func article(jsonType string) string {
	switch jsonType {
	case "array":
		return "a list"
	case "object":
		return "a mapping"
	}
	return "a " + jsonType
}

func kindOf(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case strings.HasPrefix(goType, "map["), strings.HasPrefix(goType, "types."):
		return "a mapping"
	}
	return "a " + goType
}

// saying turns one of Kustomize's messages into a sentence that says what to do.
type saying struct {
	pattern *regexp.Regexp
	say     func(f *files, e *Error, m []string)
}

var sayings = []saying{
	{regexp.MustCompile(`may not add resource with an already registered id: (\S+?)'?(?:\s|$)`), (*files).sayTwice},
	{regexp.MustCompile(`id resid\.ResId\{.*Kind:"(\w*)".*Name:"([^"]*)".*Namespace:"([^"]*)"\} exists; .*behavior must be merge or replace`), func(_ *files, e *Error, m []string) {
		e.Ref = agent.Ref{Kind: m[1], Namespace: m[3], Name: m[2]}
		e.Message = "it is generated, and it is there already: give one another name, or set behavior: merge or replace"
	}},
	{regexp.MustCompile(`id resid\.ResId\{.*Kind:"(\w*)".*Name:"([^"]*)".*Namespace:"([^"]*)"\} does not exist; cannot merge or replace`), func(_ *files, e *Error, m []string) {
		e.Ref = agent.Ref{Kind: m[1], Namespace: m[3], Name: m[2]}
		e.Message = "there is nothing to merge it with or replace: mend the name, or take behavior out"
	}},
	{regexp.MustCompile(`invalid schema file: (.*)`), func(_ *files, e *Error, m []string) {
		e.Message = "the schema under openapi.path is not valid (" + m[1] + "): mend it"
	}},
	{regexp.MustCompile(`no resource matches strategic merge patch "([^"]+)"`), (*files).sayNoTarget},
	{regexp.MustCompile(`no matches for Id (\S+?);? failed to find unique target for patch`), (*files).sayNoTarget},
	{regexp.MustCompile(`multiple matches for Id (\S+?);? failed to find unique target for patch`), func(f *files, e *Error, m []string) {
		f.aboutPatch(e, m[1])
		e.Message = inSpec(e) + "this patch matches several objects: give it a namespace, or a target"
	}},
	{regexp.MustCompile(`cycle (?:detected|not allowed): candidate root '([^']+)' contains visited root '([^']+)'`), func(_ *files, e *Error, m []string) {
		if to := inRepository(m[1]); path.Clean(to) != path.Dir(e.File) {
			e.Message = fmt.Sprintf("it includes %s, which it is a part of: take the circle out", orRoot(to))
			return
		}
		e.Message = "it includes itself: take the entry out"
	}},
	{regexp.MustCompile(`expected kind != 'Component' for path '([^']+)'`), func(f *files, e *Error, m []string) {
		e.File = f.kustomizationOf(m[1])
		e.Message = "this is a component: list it under components instead of resources"
	}},
	{regexp.MustCompile(`expected kind 'Component' for path '([^']+)'`), func(f *files, e *Error, m []string) {
		e.File = f.kustomizationOf(m[1])
		e.Message = "this is no component: list it under resources, or set kind: Component"
	}},
	{regexp.MustCompile(`Found multiple kustomization files under: (\S+)`), func(_ *files, e *Error, m []string) {
		e.File = inRepository(m[1])
		e.Message = "the directory has several kustomizations: keep one of them"
	}},
	{regexp.MustCompile(`unable to parse requirement`), func(_ *files, e *Error, _ []string) {
		e.Message = inSpec(e) + "a labelSelector or annotationSelector is not valid: mend it"
	}},
	{regexp.MustCompile(`kustomization\.yaml is empty`), func(_ *files, e *Error, _ []string) {
		e.Message = "the kustomization is empty: list resources in it, or take it out"
	}},
	{regexp.MustCompile(`missing metadata\.name in object \{\{(\S*) (\S+)\}`), (*files).sayNoName},
	{regexp.MustCompile(`missing kind in object|missing Resource metadata`), func(f *files, e *Error, _ []string) {
		e.File = f.lastManifest()
		e.Message = "a document in it is no object, for it has no kind or no metadata: take it out, or list only manifests"
	}},
	{regexp.MustCompile(`invalid literal source .*, expected key=value`), func(_ *files, e *Error, _ []string) {
		e.Message = "an entry under literals is not of the form key=value: mend it"
	}},
	{regexp.MustCompile(`(\w+) operation does not apply: doc is missing (?:path|key): "?([^\s":]+)`), func(_ *files, e *Error, m []string) {
		e.Message = inSpec(e) + fmt.Sprintf("a JSON patch cannot %s %s, which the object does not have: mend the path, or use add on its parent", m[1], m[2])
	}},
	{regexp.MustCompile(`must specify a target for JSON patch`), func(_ *files, e *Error, _ []string) {
		e.Message = inSpec(e) + "a JSON patch has no target: say under target which objects it is for"
	}},
	{regexp.MustCompile(`unable to parse SM or JSON patch`), func(_ *files, e *Error, _ []string) {
		e.Message = inSpec(e) + "a patch is neither an object nor a list of JSON patch operations: mend it"
	}},
	{regexp.MustCompile(`nothing selected by ([^\s:]+)`), func(_ *files, e *Error, m []string) {
		r := refOf(resid.FromString(m[1]))
		e.Message = fmt.Sprintf("the source of a replacement, %s, matches no object: mend it, or take the replacement out", printable(r.Kind+"/"+r.Name))
	}},
	{regexp.MustCompile(`unable to find field "([^"]+)" in replacement target`), func(_ *files, e *Error, m []string) {
		e.Message = fmt.Sprintf("a replacement is for the field %s, which its target does not have: mend the path, or set options.create", m[1])
	}},
	{regexp.MustCompile(`var '?\{(\S+) .*cannot be mapped to a field in the set of known resources`), func(f *files, e *Error, m []string) {
		for _, file := range f.distinct() {
			if data, err := f.tree.ReadFile(file); err == nil && isKustomization(file) && lineOf(data, "name: "+m[1]) > 0 {
				e.File, e.Line = file, lineOf(data, "name: "+m[1])
			}
		}
		e.Message = fmt.Sprintf("the var %s is about an object or a field that is not there: mend its objref and fieldref, or take it out", m[1])
	}},
	{regexp.MustCompile(`(?:var|variable) '?(\S+?)'? (?:already encountered|already defined)`), func(_ *files, e *Error, m []string) {
		e.Message = fmt.Sprintf("the var %s is defined twice: take one out, or rename it", m[1])
	}},
	{regexp.MustCompile(`unable to load (?:transformer|generator|plugin)[^:]*: .*only built-?in plugins|external plugins disabled|plugins? .*not.*allowed`), func(_ *files, e *Error, _ []string) {
		e.Kind = Refused
		e.Message = "a plugin that is not built into Kustomize is not run: use what is built in, or commit what it makes"
	}},
}

// inSpec says that it is the Overlay's own patch, where no file has it.
func inSpec(e *Error) string {
	if e.File == "" {
		return "spec.patches: "
	}
	return ""
}

// sayNoName says that an object has no name, and where it is.
func (f *files) sayNoName(e *Error, m []string) {
	e.File = f.lastManifest()
	e.Message = fmt.Sprintf("an object of kind %s has no metadata.name: add one", m[2])
	data, err := f.tree.ReadFile(e.File)
	if err != nil {
		return
	}
	if lines := manifest.Lines(data, agent.Ref{Kind: m[2]}); len(lines) > 0 {
		e.Line = lines[0]
	}
	if bytes.Contains(data, []byte("generateName:")) {
		e.Message += " (generateName would create another object each time)"
	}
}

// lastManifest is the file that was read last, other than kustomizations: Kustomize stops at
// the first that it cannot use.
func (f *files) lastManifest() string {
	for _, file := range f.distinct() {
		if !f.opaque[file] && !isKustomization(file) {
			return file
		}
	}
	return ""
}

func orRoot(dir string) string {
	if dir == "" {
		return "the root"
	}
	return printable(dir)
}

// sayTwice says that two objects have one id, and where they are.
func (f *files) sayTwice(e *Error, m []string) {
	ref := refOf(resid.FromString(m[1]))
	var where []string
	for _, file := range slices.Backward(f.distinct()) {
		for _, line := range f.linesOf(file, ref) {
			where = append(where, fmt.Sprintf("%s:%d", printable(file), line))
		}
	}
	e.Ref = ref
	e.Message = "the object is there twice: take one out, or rename it"
	if len(where) > 1 {
		e.File = ""
		e.Message = "the object is there twice, in " + where[0] + " and in " + where[1] + ": take one out, or rename it"
	}
}

// sayNoTarget says that a patch patches nothing.
func (f *files) sayNoTarget(e *Error, m []string) {
	f.aboutPatch(e, m[1])
	e.Message = inSpec(e) + "this patch matches no object: mend its apiVersion, kind, name or namespace, or take it out"
}

// aboutPatch finds the file in which the patch for an object is.
func (f *files) aboutPatch(e *Error, id string) {
	e.Ref = refOf(resid.FromString(id))
	for _, file := range f.distinct() {
		if lines := f.linesOf(file, e.Ref); len(lines) > 0 {
			e.File, e.Line = file, lines[0]
			return
		}
	}
	if data, err := f.tree.ReadFile(e.File); err == nil {
		e.Line = lineOf(data, "name: "+e.Ref.Name)
	}
}

func (f *files) linesOf(file string, ref agent.Ref) []int {
	if f.opaque[file] || isKustomization(file) {
		return nil
	}
	return linesIn(f.tree, file, ref)
}

var inDirectory = regexp.MustCompile(`(?:recursed accumulation of|recursed merging from|couldn't make target for) path '([^']+)'`)

// translate puts Kustomize's own message into the user's words.
func (f *files) translate(text string) *Error {
	text = strings.ReplaceAll(text, `\"`, `"`) // components quote what they wrap
	e := &Error{Kind: Invalid}
	if dirs := inDirectory.FindAllStringSubmatch(text, -1); dirs != nil {
		e.File = f.kustomizationOf(dirs[len(dirs)-1][1])
	}
	for _, s := range sayings {
		if m := s.pattern.FindStringSubmatch(text); m != nil {
			s.say(f, e, m)
			return e
		}
	}
	e.Message = abridge(text)
	return e
}

// kustomizationOf names the kustomization that was read in a directory.
func (f *files) kustomizationOf(dir string) string {
	for _, file := range f.distinct() {
		if isKustomization(file) && path.Join(treeRoot, path.Dir(file)) == path.Clean(dir) {
			return file
		}
	}
	return ""
}

// refOf turns Kustomize's id into a Ref.
func refOf(id resid.ResId) agent.Ref {
	return agent.Ref{Group: id.Group, Kind: id.Kind, Namespace: id.Namespace, Name: id.Name}
}

var (
	// dumps are what Kustomize prints of configurations and objects; both may hold secrets.
	dumps = regexp.MustCompile("(?s)with config: `.*?`|merging from generator .*\\}: |(?:for the following resource|Too many possible referral targets).*|(?:loading|merging) \\w+ (?:map)?\\[.*?\\]:?|&?\\w+\\.\\w+\\{.*\\}|(?:for|in) map\\[.*")
	// wrapper is the innermost layer that Kustomize puts around the reason.
	wrapper = regexp.MustCompile(`(?s)^.*(?:recursed (?:accumulation of|merging from) path|couldn't make target for path|accumulating resources from) '[^']*': `)
	// layers are those that may be left.
	layers = regexp.MustCompile(`(?:accumulating|merging|loading) \w+: |accumulateDirectory: `)
)

// abridge cuts Kustomize's nested messages to their innermost part.
func abridge(text string) string {
	text = dumps.ReplaceAllString(text, "…")
	text = layers.ReplaceAllString(wrapper.ReplaceAllString(text, ""), "")
	text = strings.NewReplacer(treeRoot+"/", "", "../"+treeRoot[1:]+"/", "", treeRoot, "the root", overlayFile, "the overlay", overlayRoot, "the overlay").Replace(text)
	text = strings.Trim(strings.Join(strings.Fields(text), " "), `"' `)
	const most = 400
	if len(text) > most {
		text = text[:most] + "…"
	}
	return "Kustomize says: " + text
}
