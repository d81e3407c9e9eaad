package serving_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/manifest"
	"github.com/sluice-dev/sluice/agent/serving"
)

var update = flag.Bool("update", false, "rewrite the expected results in testdata")

// suite is a testdata/*.txtar: a way to serve (serving.yaml), a cluster (can.yaml), versions by
// name (versions.yaml), and cases. Each case is a directory with
//
//	want.yaml      what is to serve
//	objects.yaml   the objects for it
//	live.yaml      what is in the cluster; see liveObjects
//	state.yaml     how that is
//	next.yaml      what is to be applied now, if it is not what is wanted
//	error.txt      why there are no objects
type suite struct {
	archive  *txtar.Archive
	serving  v1alpha1.Serving
	can      serving.Abilities
	versions map[string]serving.Version
	shown    map[string]string // objects that a case has shown, and which
}

// wanted is a serving.Want by the names of versions.
type wanted struct {
	Stable    string   `json:"stable,omitempty"`
	Candidate string   `json:"candidate,omitempty"`
	Traffic   int32    `json:"traffic"`
	Retiring  []string `json:"retiring,omitempty"`
	Model     string   `json:"model,omitempty"`
}

func TestSuites(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no suites", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			s := read(t, file)
			for _, name := range s.cases() {
				t.Run(name, func(t *testing.T) { s.play(t, name) })
			}
			if *update && !t.Failed() {
				if err := os.WriteFile(file, txtar.Format(s.archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func read(t *testing.T, file string) *suite {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{archive: archive, shown: map[string]string{}}
	for name, into := range map[string]any{"serving.yaml": &s.serving, "can.yaml": &s.can, "versions.yaml": &s.versions} {
		if err := yaml.UnmarshalStrict(s.file(name), into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for name, v := range s.versions {
		v.Name = name
		s.versions[name] = v
	}
	return s
}

func (s *suite) file(name string) []byte {
	for _, f := range s.archive.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

func (s *suite) cases() []string {
	var names []string
	for _, f := range s.archive.Files {
		if name, ok := strings.CutSuffix(f.Name, "/want.yaml"); ok {
			names = append(names, name)
		}
	}
	return names
}

func (s *suite) play(t *testing.T, name string) {
	var w wanted
	if err := yaml.UnmarshalStrict(s.file(name+"/want.yaml"), &w); err != nil {
		t.Fatal(err)
	}
	want := s.want(w)
	objects, err := serving.Objects(want, s.can)
	switch {
	case err != nil:
		s.compare(t, name+"/error.txt", err.Error()+"\n", true)
	case s.file(name+"/error.txt") != nil && !*update:
		t.Fatal("no error")
	default:
		again, _ := serving.Objects(want, s.can)
		if !reflect.DeepEqual(objects, again) {
			t.Error("the objects are not the same the second time")
		}
		s.compare(t, name+"/objects.yaml", s.document(t, name, objects), s.file(name+"/live.yaml") == nil)
	}
	if s.file(name+"/live.yaml") == nil {
		return
	}
	live := s.live(t, name+"/live.yaml", want)
	before := fmt.Sprint(live)
	s.compare(t, name+"/state.yaml", stateOf(t, serving.Observe(want, s.can, live)), true)
	next := ""
	if n := s.named(serving.Next(want, s.can, live)); !reflect.DeepEqual(n, s.named(want)) {
		text, err := yaml.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		next = string(text)
	}
	s.compare(t, name+"/next.yaml", next, next != "")
	if fmt.Sprint(live) != before {
		t.Error("a live object was written to")
	}
}

// want gives the versions of a wanted their content.
func (s *suite) want(w wanted) serving.Want {
	want := serving.Want{Model: "fraud", Stage: "production", Namespace: "fraud-prod", Serving: s.serving, Traffic: w.Traffic}
	if w.Model != "" {
		want.Model = w.Model
	}
	pick := func(name string) *serving.Version {
		v, ok := s.versions[name]
		if !ok {
			return nil
		}
		return &v
	}
	want.Stable, want.Candidate = pick(w.Stable), pick(w.Candidate)
	for _, name := range w.Retiring {
		want.Retiring = append(want.Retiring, s.versions[name])
	}
	return want
}

func (s *suite) named(want serving.Want) wanted {
	w := wanted{Traffic: want.Traffic}
	if want.Stable != nil {
		w.Stable = want.Stable.Name
	}
	if want.Candidate != nil {
		w.Candidate = want.Candidate.Name
	}
	for _, v := range want.Retiring {
		w.Retiring = append(w.Retiring, v.Name)
	}
	return w
}

// compare holds a result against a section. With -update it becomes the section, if the section
// is there or wanted.
func (s *suite) compare(t *testing.T, section, got string, add bool) {
	t.Helper()
	if *update {
		s.set(section, got, add)
		return
	}
	if want := string(s.file(section)); (want != "" || add) && got != want {
		t.Errorf("%s\nwant:\n%s\ngot:\n%s", section, want, got)
	}
}

func (s *suite) set(section, text string, add bool) {
	dir, _, _ := strings.Cut(section, "/")
	last := -1
	for n, f := range s.archive.Files {
		if f.Name == section {
			if text == "" {
				s.archive.Files = slices.Delete(s.archive.Files, n, n+1)
			} else {
				s.archive.Files[n].Data = []byte(text)
			}
			return
		}
		if strings.HasPrefix(f.Name, dir+"/") {
			last = n
		}
	}
	if add && text != "" {
		s.archive.Files = slices.Insert(s.archive.Files, last+1, txtar.File{Name: section, Data: []byte(text)})
	}
}

// document writes objects as YAML documents, each proven to be what the agent can apply. Those
// that an earlier case has shown are only named.
func (s *suite) document(t *testing.T, name string, objects []map[string]any) string {
	t.Helper()
	var b bytes.Buffer
	owner := agent.Owner{Kind: agent.ModelOwner, Namespace: "team", Name: "fraud"}
	for n, object := range objects {
		if n > 0 {
			b.WriteString("---\n")
		}
		prepared, err := manifest.Prepare(object, "", owner)
		if err != nil {
			t.Error(err)
		}
		text, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := s.shown[string(text)]; ok {
			fmt.Fprintf(&b, "# %s %s as in %s\n", prepared.Ref.Kind, prepared.Ref.Name, before)
			continue
		}
		if s.file(name+"/live.yaml") == nil {
			s.shown[string(text)] = name
		}
		b.Write(text)
	}
	return b.String()
}

// stateOf writes a State as YAML, without what is not set.
func stateOf(t *testing.T, s serving.State) string {
	t.Helper()
	fields := map[string]any{}
	for name, r := range map[string]serving.Readiness{"stable": s.Stable, "candidate": s.Candidate} {
		verdict := map[bool]string{true: "ready"}[r.Ready] + map[bool]string{true: "failed"}[r.Failed]
		if r.Message != "" {
			verdict = strings.TrimSpace(verdict + " " + r.Message)
		}
		if verdict != "" {
			fields[name] = verdict
		}
	}
	fields["traffic"] = s.Traffic
	if s.Message != "" {
		fields["message"] = s.Message
	}
	if s.URL != "" {
		fields["url"] = s.URL
	}
	text, err := yaml.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
