package gitrepo

import (
	"context"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// secrets are those of the namespace ml; "hidden" may not be read.
type secrets map[string]map[string][]byte

func (s secrets) Get(_ context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	resource := schema.GroupResource{Resource: "secrets"}
	if key.Name == "hidden" {
		return apierrors.NewForbidden(resource, key.Name, errors.New("not yours"))
	}
	held, found := s[key.Name]
	if !found || key.Namespace != "ml" {
		return apierrors.NewNotFound(resource, key.Name)
	}
	o.(*corev1.Secret).Data = held
	return nil
}

func (s secrets) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("nobody lists Secrets")
}

func TestFetchRepository(t *testing.T) {
	o := seeded(t)
	url := serve(t, guarded(o.backend(), "Basic "+base64.StdEncoding.EncodeToString([]byte("git:hunter22"))))
	held := secrets{
		"good": data("username", "git", "password", "hunter22"),
		"half": data("username", "git"),
		"odd":  data("host", "proxy.example.com"),
	}
	named := func(name string) *meta.LocalObjectReference { return &meta.LocalObjectReference{Name: name} }
	for _, test := range []struct {
		name   string
		spec   v1alpha1.RepositorySpec
		secure bool // http is not allowed
		want   string
		kind   Kind
	}{
		{name: "all is well", spec: v1alpha1.RepositorySpec{SecretRef: named("good")}},
		{name: "a branch", spec: v1alpha1.RepositorySpec{SecretRef: named("good"), Ref: &v1alpha1.RepositoryRef{Branch: "main"}}},
		{name: "another branch", spec: v1alpha1.RepositorySpec{SecretRef: named("good"), Ref: &v1alpha1.RepositoryRef{Branch: "nope"}},
			want: url + `: branch "nope" does not exist on the remote (it has: main); push it, or correct the reference`, kind: ReferenceNotFound},
		{name: "http", secure: true,
			want: url + ": the scheme http is not encrypted; use https or ssh, or allow it with --allow-insecure-git", kind: Invalid},
		{name: "no Secret", spec: v1alpha1.RepositorySpec{SecretRef: named("gone")},
			want: "Secret ml/gone is not there: create it, or name another in spec.secretRef", kind: Invalid},
		{name: "no Secret of the proxy", spec: v1alpha1.RepositorySpec{SecretRef: named("good"), ProxySecretRef: named("gone")},
			want: "Secret ml/gone is not there: create it, or name another in spec.proxySecretRef", kind: Invalid},
		{name: "a Secret that may not be read", spec: v1alpha1.RepositorySpec{SecretRef: named("hidden")},
			want: `Secret ml/hidden of spec.secretRef cannot be read: secrets "hidden" is forbidden: not yours`},
		{name: "half a Secret", spec: v1alpha1.RepositorySpec{SecretRef: named("half")},
			want: "Secret ml/half: the Secret has the key username but no password; add it", kind: Invalid},
		{name: "a proxy without an address", spec: v1alpha1.RepositorySpec{ProxySecretRef: named("odd")},
			want: "Secret ml/odd: the proxy's Secret has no key address; add it, such as http://proxy.example.com:3128", kind: Invalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			repo := &v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "platform"}, Spec: test.spec}
			repo.Spec.URL, repo.Spec.Timeout.Duration = url, time.Minute
			fetched, err := FetchRepository(t.Context(), t.TempDir(), repo, held, !test.secure)
			if test.want == "" {
				if err != nil || fetched.Revision.Commit != o.head() {
					t.Errorf("%v, %v", fetched.Revision, err)
				}
				return
			}
			if err == nil || err.Error() != test.want || kindOf(err) != test.kind {
				t.Errorf("%v (%s)\nwant %s (%s)", err, kindOf(err), test.want, test.kind)
			}
		})
	}
}

func TestAddress(t *testing.T) {
	for _, url := range []string{
		"https://git.example.com/ml/platform.git", "https://git.example.com/ml/platform/", "ssh://git@GIT.example.com/ml/platform.git",
		"git@git.example.com:ml/platform.git", "git@git.example.com:/ml/platform",
	} {
		if got := Address(url); got != "git.example.com/ml/platform" {
			t.Errorf("Address(%q) = %q", url, got)
		}
	}
}
