// Package manifests_test holds what `kubectl apply -k` installs to what the documentation
// says of it.
package manifests_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const namespace = "sluice-system"

// manifest is one object of a build, by kind and name.
type manifest map[string][]byte

// build is what `kubectl apply -k` would send.
func build(t *testing.T, directory string) manifest {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), directory)
	if err != nil {
		t.Fatal(err)
	}
	objects := manifest{}
	for _, r := range built.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		objects[r.GetKind()+"/"+r.GetName()] = text
	}
	return objects
}

// read decodes one object, strictly.
func read[T any](t *testing.T, objects manifest, name string) T {
	t.Helper()
	var object T
	text, ok := objects[name]
	if !ok {
		t.Fatalf("no %s among %v", name, slices.Sorted(maps.Keys(objects)))
	}
	if err := yaml.UnmarshalStrict(text, &object); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return object
}

func TestInstallIsComplete(t *testing.T) {
	objects := build(t, "install")
	want := []string{
		"ClusterRole/sluice-agent", "ClusterRole/sluice-edit", "ClusterRole/sluice-view",
		"ClusterRoleBinding/sluice-agent",
		"CustomResourceDefinition/inventories.sluice.dev", "CustomResourceDefinition/models.sluice.dev", "CustomResourceDefinition/modelversions.sluice.dev",
		"CustomResourceDefinition/overlays.sluice.dev", "CustomResourceDefinition/pipelines.sluice.dev",
		"CustomResourceDefinition/promotionpolicies.sluice.dev", "CustomResourceDefinition/promotions.sluice.dev",
		"CustomResourceDefinition/repositories.sluice.dev", "CustomResourceDefinition/retrainingruns.sluice.dev", "CustomResourceDefinition/retrainings.sluice.dev",
		"Deployment/sluice-agent",
		"Namespace/sluice-system",
		"NetworkPolicy/sluice-agent",
		"PodDisruptionBudget/sluice-agent",
		"Role/sluice-agent", "RoleBinding/sluice-agent",
		"Service/sluice-agent", "Service/sluice-hooks", "ServiceAccount/sluice-agent",
		"ValidatingAdmissionPolicy/sluice-records", "ValidatingAdmissionPolicyBinding/sluice-records",
	}
	if got := slices.Sorted(maps.Keys(objects)); !slices.Equal(got, want) {
		t.Errorf("manifests/install has\n%v\nwant\n%v", got, want)
	}
	generated, err := filepath.Glob("crds/sluice.dev_*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile("crds/kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range generated {
		if !strings.Contains(string(content), filepath.Base(file)) {
			t.Errorf("%s is generated and not installed: add it to manifests/crds/kustomization.yaml", file)
		}
	}
}

// TestAgentMayDoNoMore spells out every right of the agent's account. A right that is added
// here is one that every cluster with Sluice gives away.
func TestAgentMayDoNoMore(t *testing.T) {
	objects := build(t, "install")
	wantRules(t, "in the cluster", read[rbacv1.ClusterRole](t, objects, "ClusterRole/sluice-agent").Rules, []string{
		"apiextensions.k8s.io/customresourcedefinitions get list watch",
		"core/configmaps get",
		"core/events create patch",
		"core/namespaces get list watch",
		"core/secrets get",
		"core/serviceaccounts impersonate",
		"core/serviceaccounts/token create",
		"events.k8s.io/events create patch",
		"sluice.dev/inventories create delete get list patch update watch",
		"sluice.dev/models get list patch update watch",
		"sluice.dev/models/finalizers update",
		"sluice.dev/models/status get patch update",
		"sluice.dev/modelversions get list watch",
		"sluice.dev/modelversions/status get patch update",
		"sluice.dev/overlays get list patch update watch",
		"sluice.dev/overlays/finalizers update",
		"sluice.dev/overlays/status get patch update",
		"sluice.dev/pipelines get list watch",
		"sluice.dev/pipelines/status get patch update",
		"sluice.dev/promotionpolicies get list watch",
		"sluice.dev/promotions create delete get list patch update watch",
		"sluice.dev/promotions/status get patch update",
		"sluice.dev/repositories get list patch watch",
		"sluice.dev/repositories/status get patch update",
		"sluice.dev/retrainingruns create delete get list patch update watch",
		"sluice.dev/retrainingruns/status get patch update",
		"sluice.dev/retrainings get list watch",
		"sluice.dev/retrainings/finalizers update",
		"sluice.dev/retrainings/status get patch update",
	})
	wantRules(t, "in its namespace", read[rbacv1.Role](t, objects, "Role/sluice-agent").Rules, []string{
		"coordination.k8s.io/leases create delete get list patch update watch",
	})
}

func wantRules(t *testing.T, where string, rules []rbacv1.PolicyRule, want []string) {
	t.Helper()
	var got []string
	for _, rule := range rules {
		verbs := slices.Sorted(slices.Values(rule.Verbs))
		for _, group := range rule.APIGroups {
			if group == "" {
				group = "core"
			}
			for _, resource := range rule.Resources {
				for _, name := range rule.ResourceNames {
					resource += ":" + name
				}
				got = append(got, group+"/"+resource+" "+strings.Join(verbs, " "))
			}
		}
		if len(rule.NonResourceURLs) > 0 {
			t.Errorf("%s the agent may reach %v", where, rule.NonResourceURLs)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s the agent may\n\t%s\nwant\n\t%s", where, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// TestPodIsRestricted checks the Pod against the Pod Security Standard "restricted", which
// its namespace enforces, and a read-only root beyond that.
func TestPodIsRestricted(t *testing.T) {
	objects := build(t, "install")
	for _, mode := range []string{"enforce", "audit", "warn"} {
		if got := read[corev1.Namespace](t, objects, "Namespace/"+namespace).Labels["pod-security.kubernetes.io/"+mode]; got != "restricted" {
			t.Errorf("pod-security %s is %q", mode, got)
		}
	}
	pod := read[appsv1.Deployment](t, objects, "Deployment/sluice-agent").Spec.Template.Spec
	if pod.HostNetwork || pod.HostPID || pod.HostIPC {
		t.Error("the Pod shares a namespace of its node")
	}
	for _, volume := range pod.Volumes {
		if volume.EmptyDir == nil || volume.EmptyDir.SizeLimit.IsZero() {
			t.Errorf("volume %s is no emptyDir with a size limit", volume.Name)
		}
	}
	s := pod.SecurityContext
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0 ||
		s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("the Pod's security context is %+v", s)
	}
	if len(pod.Containers) != 1 || len(pod.InitContainers) != 0 {
		t.Fatalf("want one container, have %d and %d for init", len(pod.Containers), len(pod.InitContainers))
	}
	container := pod.Containers[0]
	c := container.SecurityContext
	if c == nil || c.AllowPrivilegeEscalation == nil || *c.AllowPrivilegeEscalation || c.ReadOnlyRootFilesystem == nil || !*c.ReadOnlyRootFilesystem ||
		(c.Privileged != nil && *c.Privileged) || c.Capabilities == nil || len(c.Capabilities.Add) != 0 || !slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("the container's security context is %+v", c)
	}
	if container.LivenessProbe == nil || container.ReadinessProbe == nil {
		t.Error("the container lacks a probe")
	}
	if container.Resources.Requests.Cpu().IsZero() || container.Resources.Requests.Memory().IsZero() || container.Resources.Limits.Memory().IsZero() {
		t.Errorf("the container's resources are %+v", container.Resources)
	}
	if _, tag, tagged := strings.Cut(container.Image, ":"); !tagged || tag == "latest" {
		t.Errorf("image %s has no version", container.Image)
	}
}

// TestMemoryAddsUp checks that the container's limit holds the agent and all its render workers
// when each takes what it may.
func TestMemoryAddsUp(t *testing.T) {
	container := read[appsv1.Deployment](t, build(t, "install"), "Deployment/sluice-agent").Spec.Template.Spec.Containers[0]
	flags := map[string]int64{}
	for _, argument := range container.Args {
		if name, value, ok := strings.Cut(argument, "="); ok {
			flags[name], _ = strconv.ParseInt(value, 10, 64) // those that are no numbers are not asked for
		}
	}
	agent := resource.MustParse("0")
	for _, variable := range container.Env {
		if variable.Name == "GOMEMLIMIT" {
			agent = resource.MustParse(strings.TrimSuffix(variable.Value, "B"))
		}
	}
	renders := flags["--renders"] * flags["--render-memory"]
	if limit := container.Resources.Limits.Memory().Value(); agent.IsZero() || renders == 0 || agent.Value()+renders > limit {
		t.Errorf("the agent may take %d bytes and its workers %d, of %d", agent.Value(), renders, limit)
	}
}

// TestSelectorsMeet checks that what is meant for the agent's Pod selects it, by ports it has.
func TestSelectorsMeet(t *testing.T) {
	objects := build(t, "install")
	deployment := read[appsv1.Deployment](t, objects, "Deployment/sluice-agent")
	pod := labels.Set(deployment.Spec.Template.Labels)
	ports := map[string]bool{}
	for _, p := range deployment.Spec.Template.Spec.Containers[0].Ports {
		ports[p.Name] = true
	}
	service, hooks := read[corev1.Service](t, objects, "Service/sluice-agent"), read[corev1.Service](t, objects, "Service/sluice-hooks")
	policy := read[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy/sluice-agent")
	budget := read[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget/sluice-agent")
	for what, selector := range map[string]*metav1.LabelSelector{
		"Deployment":          deployment.Spec.Selector,
		"Service":             {MatchLabels: service.Spec.Selector},
		"Service for hooks":   {MatchLabels: hooks.Spec.Selector},
		"NetworkPolicy":       &policy.Spec.PodSelector,
		"PodDisruptionBudget": budget.Spec.Selector,
	} {
		s, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil {
			t.Fatal(err)
		}
		if s.Empty() || !s.Matches(pod) {
			t.Errorf("the %s selects %s, the Pod has labels %s", what, s, pod)
		}
	}
	for _, s := range []corev1.Service{service, hooks} {
		if target := s.Spec.Ports[0].TargetPort.String(); !ports[target] {
			t.Errorf("Service %s leads to port %s, the Pod has %v", s.Name, target, ports)
		}
	}
	if !slices.Equal(policy.Spec.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}) {
		t.Errorf("the NetworkPolicy limits %v only", policy.Spec.PolicyTypes)
	}
	for _, rule := range policy.Spec.Ingress {
		if len(rule.Ports) == 0 {
			t.Error("the NetworkPolicy lets everything in")
		}
		for _, p := range rule.Ports {
			if !ports[p.Port.String()] {
				t.Errorf("the NetworkPolicy opens port %s, the Pod has %v", p.Port, ports)
			}
		}
	}
}

// TestTenantsCannotUseClusterAdmin: where the agent may do anything, writing an Overlay is
// being cluster-admin, so it must not come with the right to edit a namespace.
func TestTenantsCannotUseClusterAdmin(t *testing.T) {
	install, admin := build(t, "install"), build(t, "cluster-admin")
	const edit, binding, deployment = "ClusterRole/sluice-edit", "ClusterRoleBinding/sluice-agent-cluster-admin", "Deployment/sluice-agent"
	if !aggregates(read[rbacv1.ClusterRole](t, install, edit)) {
		t.Error("manifests/install: who may edit a namespace may not write Overlays")
	}
	if aggregates(read[rbacv1.ClusterRole](t, admin, edit)) {
		t.Error("manifests/cluster-admin: who may edit a namespace may write Overlays, and so owns the cluster")
	}
	if role := read[rbacv1.ClusterRoleBinding](t, admin, binding).RoleRef; role.Name != "cluster-admin" {
		t.Errorf("the agent is bound to %s", role.Name)
	}
	args := func(objects manifest) []string {
		return read[appsv1.Deployment](t, objects, deployment).Spec.Template.Spec.Containers[0].Args
	}
	if want := append(args(install), "--default-service-account=", "--no-cross-namespace-refs=false"); !slices.Equal(args(admin), want) {
		t.Errorf("manifests/cluster-admin: the agent's arguments are %q, want %q", args(admin), want)
	}
	for _, flag := range []string{"--default-service-account=default", "--no-cross-namespace-refs"} {
		if !slices.Contains(args(install), flag) {
			t.Errorf("manifests/install: %s is missing: who may write an Overlay could work as the agent", flag)
		}
	}
	delete(admin, binding)
	delete(admin, deployment)
	delete(install, deployment)
	for name, text := range install {
		if name != edit && string(admin[name]) != string(text) {
			t.Errorf("manifests/cluster-admin changes %s", name)
		}
		delete(admin, name)
	}
	if len(admin) > 0 {
		t.Errorf("manifests/cluster-admin adds %v", slices.Sorted(maps.Keys(admin)))
	}
}

func aggregates(role rbacv1.ClusterRole) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(role.Labels)), func(label string) bool {
		return strings.HasPrefix(label, "rbac.authorization.k8s.io/aggregate-to-")
	})
}
