package proposal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/proposal"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"k8s.io/apimachinery/pkg/types"
)

// v12 is what a run has made.
func v12() proposal.Addition {
	v := proposal.Addition{
		Dir:   "models/versions",
		Model: types.NamespacedName{Namespace: "ml", Name: "fraud"}, Stage: "production",
		Retraining: "fraud-weekly", Run: "fraud-weekly-20261123t0300z", Slot: time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC), Trigger: "Schedule: 0 3 * * 1",
		Evidence: []string{"auc is 0.951, and that of v7 0.941"},
		Author:   gitrepo.Author{Name: "Sluice", Email: "sluice@example.com"}, Time: time.Unix(1764000000, 0),
	}
	v.Version.Name = "fraud-v12"
	v.Version.Spec = v1alpha1.ModelVersionSpec{
		Model: "fraud", Version: "v12", Artifact: v1alpha1.Artifact{URI: "s3://models/fraud/v12/"},
		Metrics: map[string]v1alpha1.Metric{"auc": "0.951"}, Lineage: v1alpha1.Lineage{Run: v.Run},
	}
	return v
}

const (
	v12File = `apiVersion: sluice.dev/v1alpha1
kind: ModelVersion
metadata:
  name: fraud-v12
spec:
  model: fraud
  version: v12
  artifact:
    uri: s3://models/fraud/v12/
  metrics:
    auc: "0.951"
  lineage:
    run: fraud-weekly-20261123t0300z
`
	v7File = `apiVersion: sluice.dev/v1alpha1
kind: ModelVersion
metadata: {name: fraud-v7}
spec: {model: fraud, version: v7, artifact: {uri: "s3://models/fraud/v7/"}}
`
	versions = "# what was trained\nresources:\n- fraud-v7.yaml # the first\n\nnamespace: ml # for all of them\n"
)

// house is a forge with a Model, and a directory for its versions.
func newHouse(t *testing.T) *forge {
	f := newForge(t)
	f.commit(map[string]string{
		"models/kustomization.yaml":          "resources: [fraud.yaml, versions]\n",
		"models/versions/kustomization.yaml": versions,
		"models/versions/fraud-v7.yaml":      v7File,
	})
	return f
}

// add proposes on top of what was fetched last.
func (f *forge) add(v proposal.Addition) (proposal.Proposed, error) {
	f.t.Helper()
	tree, err := gitrepo.OpenTree(f.mirror, f.base)
	if err != nil {
		f.t.Fatal(err)
	}
	defer tree.Close()
	spec := render.Spec{Path: "models", Owner: agent.Owner{Namespace: "team", Name: "models"}}
	push := func(ctx context.Context, c gitrepo.Commit) (string, error) {
		return gitrepo.Push(ctx, f.mirror, gitrepo.Remote{URL: f.repo.URL}, c)
	}
	return proposal.ProposeVersion(f.t.Context(), tree, proposal.InProcess(tree, spec, render.DefaultLimits()), push, f.base, v)
}

func (f *forge) mustAdd(v proposal.Addition) proposal.Proposed {
	f.t.Helper()
	got, err := f.add(v)
	if err != nil {
		f.t.Fatal(err)
	}
	if at := f.at(got.Branch); at != got.Commit {
		f.t.Fatalf("the branch %s is at %s, want %s", got.Branch, at, got.Commit)
	}
	return got
}

// What differs from one commit to another: the files, and what is in them then.
func (f *forge) changed(from, to string) map[string]string {
	files := map[string]string{}
	for name := range strings.FieldsSeq(f.git("diff", "--name-only", from, to)) {
		files[name] = f.git("show", to+":"+name) + "\n"
	}
	return files
}

func same(a, b map[string]string) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

func TestProposeVersion(t *testing.T) {
	f := newHouse(t)
	first := f.mustAdd(v12())
	if first.Branch != "sluice/retrain/fraud-v12" || !proposal.IsVersionBranch(first.Branch) {
		t.Errorf("the branch is %s", first.Branch)
	}
	want := map[string]string{
		"models/versions/fraud-v12.yaml":     v12File,
		"models/versions/kustomization.yaml": strings.Replace(versions, "the first\n", "the first\n- fraud-v12.yaml\n", 1),
		"models/fraud.yaml":                  fmt.Sprintf(production, "v12"),
	}
	if got := f.changed(f.base, first.Commit); !same(got, want) {
		t.Errorf("the commit changes\n%s\nwant\n%s", got, want)
	}
	if parent := f.git("rev-parse", first.Commit+"^"); parent != f.base {
		t.Errorf("it is on %s, want %s", parent, f.base)
	}
	const message = `fraud: v12 from fraud-weekly

Run: fraud-weekly-20261123t0300z
Slot: 2026-11-23T03:00:00Z
Trigger: Schedule: 0 3 * * 1
Stage: production

- auc is 0.951, and that of v7 0.941

Sluice-Topic: ml/fraud: add v12 of fraud-weekly-20261123t0300z (file `
	if got := f.git("log", "-1", "--format=%B", first.Commit); !strings.HasPrefix(got, message) {
		t.Errorf("the message is\n%s\nwant\n%s", got, message)
	}
	f.git("fsck", "--strict")

	// Again, later, with other evidence, by an agent that has forgotten all about it.
	pushes := f.server.Traffic().Pushes
	again := v12()
	again.Time, again.Evidence = again.Time.Add(time.Hour), nil
	if got := f.mustAdd(again); got.Commit != first.Commit {
		t.Errorf("a second commit: %s after %s", got.Commit, first.Commit)
	}
	if n := f.server.Traffic().Pushes - pushes; n != 0 {
		t.Errorf("%d packs were pushed", n)
	}

	// The base moves on.
	f.commit(map[string]string{"README.md": "hello again\n"})
	renewed := f.mustAdd(v12())
	if parent := f.git("rev-parse", renewed.Commit+"^"); parent != f.base || renewed.Commit == first.Commit {
		t.Errorf("renewed as %s on %s, want it on %s", renewed.Commit, parent, f.base)
	}

	// Another run that names its version the same does not take the branch.
	other := v12()
	other.Run = "fraud-weekly-20261130t0300z"
	other.Version.Spec.Lineage.Run = other.Run
	if _, err := f.add(other); !isNotOurs(err) || f.at(renewed.Branch) != renewed.Commit {
		t.Errorf("%v, the branch is at %s", err, f.at(renewed.Branch))
	}

	// Merged: there is nothing to do, also when the stage has gone on since.
	f.git("update-ref", "refs/heads/main", renewed.Commit)
	f.fetch()
	if _, err := f.add(v12()); kindOf(err) != proposal.Settled {
		t.Error(err)
	}
	f.commit(map[string]string{"models/fraud.yaml": fmt.Sprintf(production, "v11")})
	if _, err := f.add(v12()); kindOf(err) != proposal.Settled {
		t.Error(err)
	}
	// And the other run is told which file has its version.
	if _, err := f.add(other); kindOf(err) != proposal.Taken || !strings.Contains(err.Error(), "models/versions/fraud-v12.yaml is there and says something else") {
		t.Error(err)
	}
}

func isNotOurs(err error) bool {
	e, is := errors.AsType[*gitrepo.Error](err)
	return is && e.Kind == gitrepo.NotOurs
}

// A named branch moves on by the commit, and by nothing but that.
func TestProposeVersionToANamedBranch(t *testing.T) {
	f := newHouse(t)
	v := v12()
	v.Branch = "main"
	before := f.base
	first := f.mustAdd(v)
	if first.Branch != "main" || f.git("rev-parse", "main^") != before {
		t.Errorf("%+v", first)
	}

	// The answer was lost, and nothing was fetched since.
	again := v
	again.Time = again.Time.Add(time.Hour)
	if got := f.mustAdd(again); got.Commit != first.Commit {
		t.Errorf("a second commit: %s after %s", got.Commit, first.Commit)
	}
	f.fetch()
	if _, err := f.add(v); kindOf(err) != proposal.Settled || f.at("main") != first.Commit {
		t.Error(err)
	}

	// Somebody was faster: it is made anew on what they have made.
	next := v
	next.Version.Name, next.Version.Spec.Version, next.Run = "fraud-v13", "v13", "fraud-weekly-20261130t0300z"
	theirs, err := f.repo.Commit(gitserver.Change{Files: map[string]string{"README.md": "theirs\n"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.add(next)
	if e, is := errors.AsType[*gitrepo.Error](err); !is || e.Kind != gitrepo.Moved || f.at("main") != theirs {
		t.Errorf("%v, main is at %s, want %s", err, f.at("main"), theirs)
	}
	f.fetch()
	if got := f.mustAdd(next); f.git("rev-parse", "main^") != theirs || f.git("show", got.Commit+":README.md") != "theirs" {
		t.Errorf("main is at %s", f.git("log", "--format=%s", "main"))
	}
}

// tree is files in memory.
func inMemory(files map[string]string) fstest.MapFS {
	tree := fstest.MapFS{}
	for name, content := range files {
		addFile(tree, name, []byte(content))
	}
	return tree
}

// addTo adds v12, edited, to files, and returns what would be committed.
func addTo(t *testing.T, files map[string]string, edit func(*proposal.Addition)) (map[string]string, error) {
	t.Helper()
	tree, v := inMemory(files), v12()
	if edit != nil {
		edit(&v)
	}
	changed := map[string]string{}
	push := func(_ context.Context, c gitrepo.Commit) (string, error) {
		for name, content := range c.Files {
			changed[name] = string(content)
		}
		return "4f2a9c1", nil
	}
	spec := render.Spec{Path: "models", Owner: agent.Owner{Namespace: "team", Name: "models"}}
	_, err := proposal.ProposeVersion(t.Context(), tree, proposal.InProcess(tree, spec, render.DefaultLimits()), push, "base", v)
	return changed, err
}

func TestProposeVersionInto(t *testing.T) {
	noStage := func(v *proposal.Addition) { v.Stage = "" }
	for name, c := range map[string]struct {
		files map[string]string // beside the Model and those that list it
		edit  func(*proposal.Addition)
		want  map[string]string // beside the manifest
	}{
		"without a stage": {map[string]string{"models/versions/kustomization.yml": "resources: []\nnamespace: ml\n"}, noStage,
			map[string]string{"models/versions/kustomization.yml": "resources: [fraud-v12.yaml]\nnamespace: ml\n"}},
		"a path as people write it": {map[string]string{"models/versions/Kustomization": "resources:\n- fraud-v7.yaml"}, func(v *proposal.Addition) { v.Dir, v.Stage = "./models/versions/", "" },
			map[string]string{"models/versions/Kustomization": "resources:\n- fraud-v7.yaml\n- fraud-v12.yaml\n"}},
		"a kustomization that has listed nothing yet": {map[string]string{"models/versions/kustomization.yaml": "namespace: ml\n"}, noStage,
			map[string]string{"models/versions/kustomization.yaml": "namespace: ml\nresources:\n- fraud-v12.yaml\n"}},
		"CRLF": {map[string]string{"models/versions/kustomization.yaml": "resources:\r\n- fraud-v7.yaml\r\n"}, noStage,
			map[string]string{"models/versions/kustomization.yaml": "resources:\r\n- fraud-v7.yaml\r\n- fraud-v12.yaml\r\n"}},
		"the version in a patch of the same kustomization": {map[string]string{
			"models/kustomization.yaml": "resources: [fraud.yaml]\npatches:\n- patch: |\n    - {op: replace, path: /spec/stages/0/version, value: v6}\n  target: {kind: Model}\n"},
			func(v *proposal.Addition) { v.Dir = "models" },
			map[string]string{"models/kustomization.yaml": "resources: [fraud.yaml, fraud-v12.yaml]\npatches:\n- patch: |\n    - {op: replace, path: /spec/stages/0/version, value: v12}\n  target: {kind: Model}\n"}},
		"the stage has waited for it": {map[string]string{"models/versions/kustomization.yaml": versions, "models/fraud.yaml": fmt.Sprintf(production, "v12")}, nil,
			map[string]string{"models/versions/kustomization.yaml": strings.Replace(versions, "the first\n", "the first\n- fraud-v12.yaml\n", 1)}},
		"a directory that the overlay does not read": {map[string]string{"elsewhere/kustomization.yaml": "resources: []\n", "models/versions/kustomization.yaml": versions}, func(v *proposal.Addition) { v.Dir = "elsewhere" },
			map[string]string{"elsewhere/kustomization.yaml": "resources: [fraud-v12.yaml]\n", "models/fraud.yaml": fmt.Sprintf(production, "v12")}},
		"names with a prefix": {map[string]string{"models/versions/kustomization.yaml": "namePrefix: eu-\nresources: [fraud-v7.yaml]\n"}, noStage,
			map[string]string{"models/versions/kustomization.yaml": "namePrefix: eu-\nresources: [fraud-v7.yaml, fraud-v12.yaml]\n"}},
	} {
		files := map[string]string{"models/kustomization.yaml": "resources: [fraud.yaml, versions]\n", "models/fraud.yaml": fmt.Sprintf(production, "v7"), "models/versions/fraud-v7.yaml": v7File}
		for name, content := range c.files {
			files[name] = content
		}
		got, err := addTo(t, files, c.edit)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		v := v12()
		if c.edit != nil {
			c.edit(&v)
		}
		c.want[strings.TrimPrefix(strings.TrimSuffix(v.Dir, "/"), "./")+"/fraud-v12.yaml"] = v12File
		if !same(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

// A file that was taken off the list is put on it again; the file stays as it is.
func TestProposeVersionThatIsNotListed(t *testing.T) {
	got, err := addTo(t, map[string]string{
		"models/kustomization.yaml": "resources: [fraud.yaml]\n", "models/fraud.yaml": fmt.Sprintf(production, "v12"), "models/fraud-v12.yaml": v12File,
	}, func(v *proposal.Addition) { v.Dir = "models" })
	if want := (map[string]string{"models/kustomization.yaml": "resources: [fraud.yaml, fraud-v12.yaml]\n"}); err != nil || !same(got, want) {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
}

func TestProposeVersionRefuses(t *testing.T) {
	good := map[string]string{"models/kustomization.yaml": "resources: [fraud.yaml, versions]\n", "models/fraud.yaml": fmt.Sprintf(production, "v7"), "models/versions/fraud-v7.yaml": v7File, "models/versions/kustomization.yaml": versions}
	type edit = func(*proposal.Addition)
	dir := func(dir string) edit { return func(v *proposal.Addition) { v.Dir = dir } }
	named := func(version string) edit { return func(v *proposal.Addition) { v.Version.Spec.Version = version } }
	for name, c := range map[string]struct {
		files map[string]string // "" for none
		edit  edit
		kind  proposal.Kind
		says  string
	}{
		"a path out of the tree":          {nil, dir("models/../../other"), proposal.Invalid, "without .. and without a / before it"},
		"a path that is hidden":           {nil, dir("../models/versions"), proposal.Invalid, "without .."},
		"an absolute path":                {nil, dir("/models/versions"), proposal.Invalid, "without a / before it"},
		"no path":                         {nil, dir(""), proposal.Invalid, "is not one of a directory"},
		"no such directory":               {nil, dir("models/nope"), proposal.NoPlace, "there is no kustomization.yaml in models/nope: add one"},
		"a file for a directory":          {nil, dir("models/fraud.yaml"), proposal.NoPlace, "there is no kustomization.yaml in models/fraud.yaml"},
		"no kustomization":                {map[string]string{"models/versions/kustomization.yaml": ""}, nil, proposal.NoPlace, "there is no kustomization.yaml in models/versions"},
		"a kustomization that is none":    {map[string]string{"models/versions/kustomization.yaml": "- a\n"}, nil, proposal.NoPlace, "models/versions/kustomization.yaml: it is no kustomization"},
		"a kustomization that is no YAML": {map[string]string{"models/versions/kustomization.yaml": "a: [\n"}, nil, proposal.NoPlace, "models/versions/kustomization.yaml: it is no YAML"},
		"resources that are no list":      {map[string]string{"models/versions/kustomization.yaml": "resources: fraud-v7.yaml\n"}, nil, proposal.NoPlace, "add fraud-v12.yaml by hand"},
		"a huge kustomization":            {map[string]string{"models/versions/kustomization.yaml": "resources: []\n" + strings.Repeat("# filler\n", 1<<19)}, nil, proposal.NoPlace, "larger than 4 MiB"},
		"another version of the name":     {map[string]string{"models/versions/fraud-v12.yaml": strings.ReplaceAll(v12File, "0.951", "0.952")}, nil, proposal.Taken, "models/versions/fraud-v12.yaml is there and says something else"},
		"something else of the name":      {map[string]string{"models/versions/fraud-v12.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"}, nil, proposal.Taken, "models/versions/fraud-v12.yaml is there"},
		"a directory of the name":         {map[string]string{"models/versions/fraud-v12.yaml/kustomization.yaml": "resources: []\n"}, nil, proposal.Taken, "models/versions/fraud-v12.yaml is there and is no file"},
		"the object is elsewhere": {map[string]string{"models/versions/twelve.yaml": v12File, "models/versions/kustomization.yaml": "resources: [twelve.yaml]\n"}, nil, proposal.NoPlace,
			"with models/versions/fraud-v12.yaml the overlay would not render"},
		"a kustomization that makes more of it": {map[string]string{"models/versions/kustomization.yaml": "resources: [fraud-v7.yaml]\nconfigMapGenerator:\n- {name: c, files: [kustomization.yaml]}\n"},
			nil, proposal.NoPlace, "more would change"},
		"a version that no branch can have": {nil, named("v1..2"), proposal.Invalid, "no object can be named"},
		"a version that is a lock":          {nil, named("v8.lock"), proposal.Invalid, "without .lock"},
		"a version with a path":             {nil, named("../../main"), proposal.Invalid, "no name of a version"},
		"a model with a path":               {nil, func(v *proposal.Addition) { v.Version.Spec.Model = "../fraud" }, proposal.Invalid, "no name of a Model"},
		"a metric that is none":             {nil, func(v *proposal.Addition) { v.Version.Spec.Metrics["auc"] = "NaN" }, proposal.Invalid, "auc"},
		"no such stage":                     {nil, func(v *proposal.Addition) { v.Stage = "canada" }, proposal.Unknown, "has no stage canada"},
		"a stage with a path":               {nil, func(v *proposal.Addition) { v.Stage = "../x" }, proposal.Invalid, "names of the Model and of the stage"},
		"no such Model":                     {nil, func(v *proposal.Addition) { v.Model.Namespace = "other" }, proposal.Unknown, "no Model other/fraud"},
	} {
		files := map[string]string{}
		for name, content := range good {
			files[name] = content
		}
		for name, content := range c.files {
			if files[name] = content; content == "" {
				delete(files, name)
			}
		}
		got, err := addTo(t, files, c.edit)
		if kindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) || len(got) > 0 || len(err.Error()) > 1000 {
			t.Errorf("%s: %v (%s), want %s, %q", name, err, kindOf(err), c.kind, c.says)
		}
	}
}

// Nothing that comes from outside leaves its place in the message.
func TestProposeVersionCleansItsMessage(t *testing.T) {
	f := newHouse(t)
	v := v12()
	v.Stage, v.Trigger = "", "a\n\nSluice-Topic: another\x1b[31m"
	v.Retraining, v.Evidence = "x\ny", []string{"two\nlines"}
	got := f.mustAdd(v)
	const want = "fraud: v12 from x y\n\nRun: fraud-weekly-20261123t0300z\nSlot: 2026-11-23T03:00:00Z\nTrigger: a Sluice-Topic: another [31m\n\n- two lines\n\nSluice-Topic: ml/fraud: add v12"
	if message := f.git("log", "-1", "--format=%B", got.Commit); !strings.HasPrefix(message, want) {
		t.Errorf("%s\nwant\n%s", message, want)
	}
	if trailers := f.git("log", "-1", "--format=%(trailers:keyonly)", got.Commit); strings.TrimSpace(trailers) != "Sluice-Topic" {
		t.Errorf("git sees the trailers %q", trailers)
	}
}

// A worker that fails is not taken for an overlay that does not render.
func TestProposeVersionPassesTroubleOn(t *testing.T) {
	tree := inMemory(map[string]string{"models/kustomization.yaml": "resources: [fraud.yaml]\n", "models/fraud.yaml": fmt.Sprintf(production, "v7")})
	works := proposal.InProcess(tree, render.Spec{Path: "models", Owner: agent.Owner{Namespace: "team", Name: "models"}}, render.DefaultLimits())
	crash := &render.Error{Kind: render.Crashed, Message: "the worker ended"}
	failing := func(ctx context.Context, files map[string][]byte) (render.Result, error) {
		if len(files) > 0 {
			return render.Result{}, crash
		}
		return works(ctx, files)
	}
	v := v12()
	v.Dir = "models"
	if _, err := proposal.ProposeVersion(t.Context(), tree, failing, nil, "base", v); !errors.Is(err, crash) {
		t.Error(err)
	}
}
