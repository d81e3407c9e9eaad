package artifact_test

import (
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/artifact"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func TestCredentialsOf(t *testing.T) {
	secret := func(name string, annotations map[string]string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: name, Annotations: annotations}, Data: map[string][]byte{"AWS_ACCESS_KEY_ID": []byte("hush")}}
	}
	live := fake.NewClientBuilder().WithObjects(
		secret("plain", nil),
		secret("trusting", map[string]string{"serving.kserve.io/s3-cabundle-configmap": "authorities"}),
		secret("lost", map[string]string{"serving.kserve.io/s3-cabundle-configmap": "gone"}),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "authorities"}, Data: map[string]string{"cabundle.crt": "PEM"}},
	).Build()
	of := func(name string) (artifact.Credentials, error) {
		return artifact.CredentialsOf(t.Context(), live, "ml", &meta.LocalObjectReference{Name: name})
	}
	if c, err := artifact.CredentialsOf(t.Context(), live, "ml", nil); err != nil || len(c.Data) != 0 {
		t.Errorf("no secretRef: %v, %v", c, err)
	}
	if c, err := of("plain"); err != nil || string(c.Data["AWS_ACCESS_KEY_ID"]) != "hush" {
		t.Errorf("plain: %v, %v", c, err)
	}
	if c, err := of("trusting"); err != nil || string(c.CA) != "PEM" {
		t.Errorf("trusting: %q, %v", c.CA, err)
	}
	for name, says := range map[string]string{
		"none": "Secret none, which secretRef names, is not there: create it",
		"lost": "ConfigMap gone with the authorities to trust, which Secret lost names, cannot be read: ",
	} {
		_, err := of(name)
		mustBeClean(t, err, "hush")
		failsWith(t, err, artifact.NoCredentials, says)
	}
}
