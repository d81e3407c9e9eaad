package objectstore

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Secret is what leads to the server, without TLS, in the form that KServe gave it: address and region
// in annotations, the keys of its user in the data.
func (s *Server) Secret(namespace, name string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{
			"serving.kserve.io/s3-endpoint": strings.TrimPrefix(s.Endpoint, "http://"), "serving.kserve.io/s3-usehttps": "0", "serving.kserve.io/s3-region": Region,
		}},
		StringData: map[string]string{"AWS_ACCESS_KEY_ID": s.AccessKey, "AWS_SECRET_ACCESS_KEY": s.SecretKey},
	}
}
