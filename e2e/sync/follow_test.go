package sync_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What variables come from is watched: a change is in the cluster without anybody asking for
// it, and passes in between read nothing.
func TestVariablesAreFollowed(t *testing.T) {
	s := begin(t, files{
		"app/asks.yaml": annotated(configMap("asks", "color: ${COLOR}", "size: ${SIZE:=small}", "shape: ${SHAPE:=round}"), v1alpha1.SubstituteAnnotation, "enabled"),
	})
	s.apply("admin", configMap("variables", "COLOR: red"))
	s.apply("admin", secret("variables", "SIZE: large"))
	s.Overlay("app", "app", func(o *v1alpha1.Overlay) {
		o.Spec.Substitute = &v1alpha1.Substitute{From: []v1alpha1.SubstituteReference{
			{Kind: "ConfigMap", Name: "variables"}, {Kind: "Secret", Name: "variables"}, {Kind: "ConfigMap", Name: "later", Optional: true},
		}}
	})
	s.WaitReady("app")
	if is := s.data("asks", "color") + " " + s.data("asks", "size") + " " + s.data("asks", "shape"); is != "red large round" {
		t.Fatalf("it is %s", is)
	}

	before := s.Calls()
	for n := range 5 {
		s.request("app", fmt.Sprint(n))
	}
	s.apply("admin", configMap("variables", "COLOR: blue"))
	s.becomes("blue", "v1", "ConfigMap", "asks", "data", "color")
	s.apply("admin", secret("variables", "SIZE: huge"))
	s.becomes("huge", "v1", "ConfigMap", "asks", "data", "size")
	s.apply("admin", configMap("later", "SHAPE: square"))
	s.becomes("square", "v1", "ConfigMap", "asks", "data", "shape")
	s.delete("v1", "ConfigMap", "later")
	s.becomes("round", "v1", "ConfigMap", "asks", "data", "shape")
	if reads := s.about(s.Calls().Since(before).Verb("get"), "variables", "later"); len(reads) > 0 {
		t.Errorf("they were read:\n%s", reads)
	}

	// A variable that cannot be used, and its mending.
	s.delete("v1", "ConfigMap", "variables")
	s.mentions(s.says("app", v1alpha1.RenderFailedReason), "ConfigMap/NS/variables is not there")
	s.apply("admin", configMap("variables", "COLOR: green"))
	s.becomes("green", "v1", "ConfigMap", "asks", "data", "color")

	// Nobody asks for them any more.
	o := s.GetOverlay("app")
	s.Update(o, func() {
		o.Spec.Substitute.From = nil
		o.Spec.Substitute.Variables = map[string]string{"COLOR": "black"}
	})
	s.becomes("black", "v1", "ConfigMap", "asks", "data", "color")
	s.Eventually("the watches end", func() (bool, string) {
		watches := s.about(s.Calls().Verb("watch"), "variables", "later")
		return len(watches) > 0 && !slices.ContainsFunc(watches, func(q cluster.Request) bool { return q.Code == 0 }), watches.String()
	})
}

// An account may be allowed to read one Secret, and not to watch it.
func TestVariablesThatMayNotBeWatched(t *testing.T) {
	s := begin(t, files{
		"app/asks.yaml": annotated(configMap("asks", "size: ${SIZE}"), v1alpha1.SubstituteAnnotation, "enabled"),
	})
	s.apply("admin", secret("variables", "SIZE: large"))
	s.Create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: "deployer"}})
	s.Create(&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: "deployer"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
		{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"variables"}, Verbs: []string{"get"}},
	}})
	s.Create(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: "deployer"},
		RoleRef:  rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: "deployer"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: s.Namespace, Name: "deployer"}}})
	s.Overlay("app", "app", func(o *v1alpha1.Overlay) {
		o.Spec.ServiceAccountName = "deployer"
		o.Spec.Substitute = &v1alpha1.Substitute{From: []v1alpha1.SubstituteReference{{Kind: "Secret", Name: "variables"}}}
	})
	s.WaitReady("app")
	if is := s.data("asks", "size"); is != "large" {
		t.Fatalf("it is %s", is)
	}
	s.apply("admin", secret("variables", "SIZE: huge"))
	for n := range 3 {
		s.request("app", fmt.Sprint(n))
	}
	s.becomes("huge", "v1", "ConfigMap", "asks", "data", "size")
	refused := s.about(s.Calls().Verb("list", "watch"), "variables")
	if len(refused) == 0 || len(refused) > 2 {
		t.Errorf("it tried to watch %d times:\n%s", len(refused), refused)
	}
}

// about returns the agent's calls about objects of the test's namespace, by name.
func (s *story) about(calls cluster.Requests, names ...string) cluster.Requests {
	found := cluster.Requests{}
	for _, q := range calls.By("sluice/") {
		if q.Namespace == s.Namespace && slices.Contains(names, q.Name) {
			found = append(found, q)
		}
	}
	return found
}
