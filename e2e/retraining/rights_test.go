package retraining_test

import (
	"context"
	"maps"
	"slices"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What the documentation has an account need: to read packages, to deliver them, and to run what was delivered.
var (
	readsPackages     = []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list", "watch"}}}
	deliversPipelines = []rbacv1.PolicyRule{ofPipelines("pipelines", "get", "list", "create", "delete"), ofPipelines("pipelineversions", "get", "list", "create", "delete")}
	runsPipelines     = []rbacv1.PolicyRule{
		ofPipelines("pipelines", "get", "list"), ofPipelines("pipelineversions", "get", "list"),
		ofPipelines("experiments", "get", "list", "create"), ofPipelines("runs", "get", "list", "create", "terminate", "delete"),
	}
)

func ofPipelines(resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{"pipelines.kubeflow.org"}, Resources: []string{resource}, Verbs: verbs}
}

// grant makes a ServiceAccount that may do something in the namespace of the test.
func (h *house) grant(name string, rules ...rbacv1.PolicyRule) {
	h.T.Helper()
	in := metav1.ObjectMeta{Namespace: h.Namespace, Name: name}
	h.Create(&corev1.ServiceAccount{ObjectMeta: in})
	h.Create(&rbacv1.Role{ObjectMeta: in, Rules: rules})
	h.Create(&rbacv1.RoleBinding{ObjectMeta: in, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: in.Name},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: in.Namespace, Name: in.Name}}})
}

// rights are those of the users of Kubeflow Pipelines. As there, Kubernetes says who has which.
type rights struct {
	client client.Client
	mu     sync.Mutex
	asked  []right
}

// right is one that was asked for.
type right struct {
	user, verb, resource string
	given                bool
}

// may says whether a user may do something, and keeps that it was asked.
func (r *rights) may(user, verb, resource, namespace string) bool {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: &authorizationv1.ResourceAttributes{
		Group: "pipelines.kubeflow.org", Version: "v1beta1", Resource: resource, Verb: verb, Namespace: namespace,
	}}}
	given := r.client.Create(context.Background(), review) == nil && review.Status.Allowed
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, right{user, verb, resource, given})
	return given
}

// who are the users who asked for such a right, sorted.
func (r *rights) who(such func(right) bool) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	users := map[string]bool{}
	for _, a := range r.asked {
		if such(a) {
			users[a.user] = true
		}
	}
	return slices.Sorted(maps.Keys(users))
}
