package pipelines

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestResolved(t *testing.T) {
	p := &v1alpha1.Pipeline{ObjectMeta: metav1.ObjectMeta{Name: "train", Namespace: "fraud"}}
	p.Spec.KFP = v1alpha1.KFPPipeline{Name: "fraud-train", Address: "http://kfp.ml:8888"}
	named := Resolved(v1alpha1.KFPRun{Pipeline: "train"}, p, "fraud")
	if named.Pipeline != "fraud-train" || named.Address != "http://kfp.ml:8888" || named.Experiment != "fraud" || named.Version != "" {
		t.Errorf("%+v", named)
	}
	own := Resolved(v1alpha1.KFPRun{Pipeline: "train", Address: "http://other:8888", Experiment: "e", Version: "v1"}, p, "fraud")
	if own.Pipeline != "fraud-train" || own.Address != "http://other:8888" || own.Experiment != "e" || own.Version != "v1" {
		t.Errorf("%+v", own)
	}
	p.Spec.KFP.Name = ""
	if plain := Resolved(v1alpha1.KFPRun{Pipeline: "train"}, p, "fraud"); plain.Pipeline != "train" {
		t.Errorf("%+v", plain)
	}
	if known := Resolved(v1alpha1.KFPRun{Pipeline: "theirs"}, nil, "fraud"); known.Pipeline != "theirs" || known.Address != "" {
		t.Errorf("%+v", known)
	}
}

func TestPinned(t *testing.T) {
	delivered := v1alpha1.Pipeline{ObjectMeta: metav1.ObjectMeta{Name: "train", Generation: 2}, Status: v1alpha1.PipelineStatus{
		ObservedGeneration: 2, Version: "sha256-1", Digest: "sha256:1",
		Conditions: []metav1.Condition{{Type: v1alpha1.ReadyCondition, Status: metav1.ConditionTrue, Message: "it is there"}},
	}}
	for _, c := range []struct {
		name string
		edit func(*v1alpha1.Pipeline)
		wait string
	}{
		{"delivered", func(*v1alpha1.Pipeline) {}, ""},
		{"the server does not answer since", func(p *v1alpha1.Pipeline) { p.Status.Conditions[0].Status = metav1.ConditionFalse }, ""},
		{"changed", func(p *v1alpha1.Pipeline) { p.Generation = 3 }, "Pipeline train has not been looked at since it changed"},
		{"new", func(p *v1alpha1.Pipeline) { p.Status = v1alpha1.PipelineStatus{}; p.Generation = 1 }, "Pipeline train has not been looked at since it changed"},
		{"under way", func(p *v1alpha1.Pipeline) {
			p.Status.Version, p.Status.Conditions[0].Message = "", "it is being delivered"
		}, "Pipeline train: it is being delivered"},
		{"deleted", func(p *v1alpha1.Pipeline) { p.DeletionTimestamp = new(metav1.Now()) }, "Pipeline train is being deleted"},
	} {
		p := *delivered.DeepCopy()
		c.edit(&p)
		version, digest, wait := Pinned(p)
		if wait != c.wait || (c.wait == "") != (version == "sha256-1" && digest == "sha256:1") || strings.HasPrefix(digest, "sha256:") != (version != "") {
			t.Errorf("%s: %q, %q, %q", c.name, version, digest, wait)
		}
	}
}
