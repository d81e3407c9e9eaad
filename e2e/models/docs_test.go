package models_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/analysis"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/gate"
	"github.com/sluice-dev/sluice/agent/serving"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/engines"
	"github.com/sluice-dev/sluice/e2e/rig"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// document is one YAML document of the documentation.
type document struct {
	where string // file:line
	text  string
}

// whole are the pages of which every document is looked at. Of the others it is those of Sluice's kinds.
var whole = []string{
	"docs/models.md", "docs/artifacts.md", "docs/gates.md", "docs/rollouts.md", "docs/policies.md",
	"docs/retraining.md", "docs/schedules.md", "docs/engines.md", "docs/results.md", "docs/pipelines.md",
}

// TestDocs: what the documentation shows is what the API server takes. Whole manifests are created as
// they are, without being kept; what is a part of a stage is put into a Model before, and what is one
// of a Retraining into a Retraining. So is what each engine makes of a Retraining.
func TestDocs(t *testing.T) {
	r := rig.New(t, cluster.Options{})
	if err := engines.Define(t.Context(), r.Cluster); err != nil {
		t.Fatal(err)
	}
	root := rig.Root(t)
	var all []document
	pages, err := fs.Glob(os.DirFS(root), "docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("there is no documentation: %v", err)
	}
	for _, page := range append(pages, "README.md") {
		blocks := yamlBlocks(t, root, page)
		if slices.Contains(whole, page) {
			if len(blocks) == 0 {
				t.Errorf("%s shows no manifest", page)
			}
		} else {
			blocks = slices.DeleteFunc(blocks, func(d document) bool { return !ofSluice.MatchString(d.text) })
		}
		all = append(all, blocks...)
	}
	policies, err := filepath.Glob(filepath.Join(root, "policies", "*.yaml"))
	if err != nil || len(policies) == 0 {
		t.Fatalf("there are no policies: %v", err)
	}
	for _, path := range policies {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, documents("policies/"+filepath.Base(path), 1, string(text))...)
	}
	employ(t, r, all)
	seen := map[string]int{}
	for _, d := range all {
		t.Run(d.where, func(t *testing.T) {
			for _, kind := range check(t, r, d) {
				seen[kind]++
			}
		})
	}
	for _, kind := range []string{
		v1alpha1.RepositoryKind, v1alpha1.OverlayKind, v1alpha1.ModelKind, v1alpha1.ModelVersionKind, v1alpha1.PromotionPolicyKind, v1alpha1.PipelineKind, v1alpha1.RetrainingKind, "Secret", "Stage", "part of a Retraining",
		"run of Job", "run of Workflow", "run of kfp", "run of TrainJob", "run of PyTorchJob", "run of TFJob", "run of MPIJob", "run of Experiment", "run of RayJob",
	} {
		if seen[kind] == 0 {
			t.Errorf("no %s was looked at: %v", kind, seen)
		}
	}
}

// ofSluice matches a manifest of one of Sluice's kinds.
var ofSluice = regexp.MustCompile(`(?m)^apiVersion: sluice\.dev/`)

// yamlBlocks are the documents of a page of Markdown.
func yamlBlocks(t *testing.T, root, page string) []document {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	var all []document
	var block []string
	begun, indent := 0, "" // a block in a list is indented
	for n, line := range strings.Split(string(text), "\n") {
		switch word := strings.TrimSpace(line); {
		case begun == 0 && word == "```yaml":
			begun, indent = n+2, line[:len(line)-len(word)]
		case begun > 0 && line == indent+"```":
			all = append(all, documents(page, begun, strings.Join(block, "\n"))...)
			begun, block = 0, nil
		case begun > 0:
			block = append(block, strings.TrimPrefix(line, indent))
		}
	}
	if begun > 0 {
		t.Fatalf("%s: the block of line %d has no end", page, begun)
	}
	return all
}

// documents takes a file apart.
func documents(file string, line int, text string) []document {
	var all []document
	for _, part := range strings.Split(text, "\n---\n") {
		all = append(all, document{where: fmt.Sprintf("%s:%d", file, line), text: part})
		line += strings.Count(part, "\n") + 2
	}
	return all
}

// check has the API server look at a document, and returns of what kind it is, and what is run by it.
func check(t *testing.T, r *rig.Rig, d document) []string {
	var o unstructured.Unstructured
	if err := yaml.UnmarshalStrict([]byte(d.text), &o.Object); err != nil {
		t.Fatal(err)
	}
	switch {
	case o.GetKind() == "" && partOfRetraining(o.Object):
		o.Object = inRetraining(o.Object)
		accepted(t, r, r.Client, &o)
		return []string{"part of a Retraining", "run of " + validRetraining(t, r, o)}
	case o.GetKind() == "":
		o.Object = inModel(t, d.text)
		accepted(t, r, r.Client, &o)
		return []string{"Stage"}
	case strings.HasPrefix(o.GetAPIVersion(), "kustomize.config.k8s.io/"):
		return []string{o.GetKind()}
	}
	accepted(t, r, r.Client, &o)
	switch text := []byte(d.text); o.GetKind() {
	case v1alpha1.ModelKind:
		var m v1alpha1.Model
		strictly(t, text, &m)
		valid(t, m.Spec)
	case v1alpha1.ModelVersionKind:
		strictly(t, text, &v1alpha1.ModelVersion{})
	case v1alpha1.PromotionPolicyKind:
		var p v1alpha1.PromotionPolicy
		strictly(t, text, &p)
		validGates(t, p.Spec.Gates)
	case v1alpha1.PipelineKind:
		strictly(t, text, &v1alpha1.Pipeline{})
	case v1alpha1.RetrainingKind:
		strictly(t, text, &v1alpha1.Retraining{})
		return []string{o.GetKind(), "run of " + validRetraining(t, r, o)}
	}
	return []string{o.GetKind()}
}

// inModel puts a part of a stage into a Model that has all stages it may speak of.
func inModel(t *testing.T, text string) map[string]any {
	t.Helper()
	var s v1alpha1.Stage
	strictly(t, []byte(text), &s)
	var stage map[string]any
	strictly(t, []byte(text), &stage)
	other := map[string]any{"name": "staging", "namespace": "fraud-staging"}
	switch s.Name {
	case "":
		stage["name"] = "production"
	case "staging":
		other["name"] = "production"
	}
	validGates(t, s.Gates)
	validAnalyses(t, s.Rollout.Analysis)
	return map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": v1alpha1.ModelKind,
		"metadata": map[string]any{"name": "fraud", "namespace": "fraud"},
		"spec": map[string]any{
			"serving": map[string]any{"deployment": map[string]any{"port": int64(8080), "template": map[string]any{}}},
			"stages":  []any{other, stage},
		},
	}
}

// notHere are the groups of kinds that this cluster does not know.
var notHere = []string{"pipelines.kubeflow.org", "ray.io"}

// accepted has the API server say that it would take an object of somebody, with no field that it does not know.
func accepted(t *testing.T, r *rig.Rig, whose client.Client, o *unstructured.Unstructured) {
	t.Helper()
	ctx := context.Background()
	if name := o.GetNamespace(); name != "" {
		err := r.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	namespaced, err := r.Client.IsObjectNamespaced(o)
	if apimeta.IsNoMatchError(err) && slices.Contains(notHere, o.GroupVersionKind().Group) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if namespaced && o.GetNamespace() == "" {
		o.SetNamespace(r.Namespace)
	}
	if err := whose.Create(ctx, o.DeepCopy(), client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict)); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Errorf("the API server does not take it: %v", err)
	}
}

// strictly reads YAML, with no field that is not known.
func strictly(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatal(err)
	}
}

// valid checks what the agent checks and the API server does not see.
func valid(t *testing.T, spec v1alpha1.ModelSpec) {
	t.Helper()
	if err := serving.Check(spec.Serving); err != nil {
		t.Error(err)
	}
	for _, s := range spec.Stages {
		validGates(t, s.Gates)
		validAnalyses(t, s.Rollout.Analysis)
	}
}

func validGates(t *testing.T, gates []v1alpha1.Gate) {
	t.Helper()
	for _, g := range gates {
		if err := gate.Validate(g); err != nil {
			t.Errorf("gate %s: %v", g.Name, err)
		}
	}
}

func validAnalyses(t *testing.T, all []v1alpha1.Analysis) {
	t.Helper()
	for _, a := range all {
		if err := analysis.Validate(a); err != nil {
			t.Errorf("analysis %s: %v", a.Name, err)
		}
	}
}
