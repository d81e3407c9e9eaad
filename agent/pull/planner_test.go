package pull

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/report"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What admission refuses is told with the policy and the place: where the pull request has the object, or
// else where it is declared.
func TestProblem(t *testing.T) {
	web := agent.Ref{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}
	at := places{
		tree: tree{fstest.MapFS{
			"base/web.yaml":    {Data: []byte("# the shop\nkind: Deployment\nmetadata: {name: web}\n")},
			"patches/web.yaml": {Data: []byte("kind: Service\nmetadata: {name: web}\n---\nkind: Deployment\nmetadata:\n  name: web\n")},
			"patches/other":    {Data: []byte("nothing")},
		}},
		set: agent.NewSet([]agent.Object{{Ref: web, Origin: "base/web.yaml"}}),
	}
	for message, want := range map[string]report.Problem{
		`deployments.apps "web" is forbidden: ValidatingAdmissionPolicy 'few' with binding 'few-here' denied request: at most 5`: {Policy: "few", Message: "at most 5", File: "base/web.yaml", Line: 2},
		`admission webhook "validate.kyverno.svc" denied the request: no latest`:                                                 {Policy: "validate.kyverno.svc", Message: "no latest", File: "base/web.yaml", Line: 2},
		`spec.replicas: Invalid value: -1`: {Message: "spec.replicas: Invalid value: -1", File: "base/web.yaml", Line: 2},
	} {
		want.Ref = web
		if have := at.problem(agent.Violation{Ref: web, Message: message}); have != want {
			t.Errorf("%+v, want %+v", have, want)
		}
	}
	at.changed = []string{"patches/other", "patches/gone.yaml", "patches/web.yaml"}
	if file, line := at.of(web); file != "patches/web.yaml" || line != 4 {
		t.Errorf("it is at %s:%d", file, line)
	}
	at.set = agent.Set{}
	at.changed = nil
	if file, line := at.of(web); file != "" || line != 0 {
		t.Errorf("what is nowhere is at %s:%d", file, line)
	}
}

// tree is an agent.Tree of files in memory.
type tree struct{ fstest.MapFS }

func (tree) ReadLink(string) (string, error) { return "", nil }

// Two Overlays of a name are told apart.
func TestShown(t *testing.T) {
	overlay := func(namespace, name string) v1alpha1.Overlay {
		return v1alpha1.Overlay{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	}
	own := []v1alpha1.Overlay{overlay("a", "web"), overlay("b", "web"), overlay("a", "shop")}
	for n, want := range []string{"a/web", "b/web", "shop"} {
		if have := shown(&own[n], own); have != want {
			t.Errorf("%s, want %s", have, want)
		}
	}
}

// What is said again only because time has passed, or the branch has moved on, is not said.
func TestSayingOf(t *testing.T) {
	one := report.Report{Head: agent.Revision{Commit: "4f2a9c1"}, Base: agent.Revision{Name: "main", Commit: "0b1c2d3"}, Time: time.Unix(1, 0)}
	two := one
	two.Base.Commit, two.Time = "1111111", time.Unix(100_000, 0)
	if sayingOf(one) != sayingOf(two) {
		t.Error("the same is something else")
	}
	two.Trouble = &report.Problem{Message: "conflict"}
	if sayingOf(one) == sayingOf(two) {
		t.Error("something else is the same")
	}
}
