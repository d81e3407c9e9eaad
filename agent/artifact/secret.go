package artifact

import (
	"context"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// CredentialsOf reads the Secret that a secretRef names, and the authorities that the Secret names. Without
// a secretRef they are the identity of this process.
func CredentialsOf(ctx context.Context, live client.Reader, namespace string, ref *meta.LocalObjectReference) (Credentials, error) {
	if ref == nil {
		return Credentials{}, nil
	}
	var secret corev1.Secret
	err := live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: ref.Name}, &secret)
	if apierrors.IsNotFound(err) {
		return Credentials{}, errorf(NoCredentials, "Secret %s, which secretRef names, is not there: create it", printable(ref.Name))
	}
	if err != nil {
		return Credentials{}, errorf(NoCredentials, "Secret %s cannot be read: %s", printable(ref.Name), printable(err.Error()))
	}
	credentials := Credentials{Data: secret.Data, Annotations: secret.Annotations}
	if name := credentials.CAConfigMap(); name != "" {
		var authorities corev1.ConfigMap
		if err := live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &authorities); err != nil {
			return credentials, errorf(NoCredentials, "ConfigMap %s with the authorities to trust, which Secret %s names, cannot be read: %s", printable(name), printable(ref.Name), printable(err.Error()))
		}
		credentials.CA = []byte(authorities.Data["cabundle.crt"])
	}
	return credentials, nil
}
