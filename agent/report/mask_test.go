package report

import (
	"testing"

	"github.com/sluice-dev/sluice/agent"
)

func TestMasked(t *testing.T) {
	config, deployment := ref("ConfigMap", "shop", "settings"), ref("Deployment", "shop", "web")
	for _, c := range []struct {
		ref               agent.Ref
		path, value, want string
	}{
		{ref("Secret", "shop", "key"), "data.color", "cmVk", "***"},
		{ref("Secret", "shop", "key"), "stringData.port", "80", "***"},
		{ref("Secret", "shop", "key"), "data[tls.crt]", "cmVk", "***"},
		{ref("Secret", "shop", "key"), "type", "Opaque", "Opaque"},
		{agent.Ref{Group: "serving.knative.dev", Kind: "Secret"}, "data.color", "red", "red"},
		{config, "data.color", "red", "red"},
		{config, "data.PASSWORD", "hunter2", "***"},
		{config, "data.DB_PASSWORD", "hunter2", "***"},
		{config, "data[db.password]", `"123"`, "***"},
		{config, "data.dbPass", "red", "red"}, // no word: compass ends so too
		{config, "data.DB_PASS", "hunter2", "***"},
		{config, "data[aws-secret-access-key]", "x", "***"},
		{config, "data.apiKey", "x", "***"},
		{config, "data.OPENAI_API_KEY", "x", "***"},
		{config, "data.monkey", "x", "x"},
		{config, "data.publicKey", "x", "x"},
		{config, "data.useToken", `"true"`, `"true"`},
		{config, "data.maxTokens", `"4096"`, `"4096"`},
		{config, "data.secretName", "tls", "tls"},
		{config, "data[app.properties]", "| a=b db.password=correct horse", "| a=b db.password=***"},
		{config, "data[app.yaml]", "| user: x password: y z: 1", "| user: x password: ***"},
		{config, "data[app.json]", `{"user":"x","api_key":"y","z":1}`, `{"user":"x","api_key":"***`},
		{config, "data[app.json]", `{"password": ""}`, `{"password": ""}`},
		{config, "data.key", "-----BEGIN RSA PRIVATE KEY----- MIIE", "***"},
		{config, "data.crt", "-----BEGIN CERTIFICATE----- MIIE", "-----BEGIN CERTIFICATE----- MIIE"},
		{config, "data.url", "postgres://u:p@db/x", "postgres://***@db/x"},
		{config, "data.url", "postgres://u:p@ss@db/x", "postgres://***@db/x"},
		{config, "data.url", "x postgres://u:pas…", "x postgres://***…"},
		{config, "data.url", "oci://registry:5000/x@sha256:1", "oci://registry:5000/x@sha256:1"},
		{config, "data.aws", "AKIAIOSFODNN7EXAMPLE", "***"},
		{config, "data.gh", "use ghp_abcdefghijklmnopqrst0123456789", "use ***"},
		{config, "data.jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "***"},
		{config, "data.header", "Bearer abcdefghijklmnop0123", "***"},
		{config, "data.text", "basic authentication is used", "basic authentication is used"},
		{config, "metadata.annotations[kubectl.kubernetes.io/last-applied-configuration]", `{"data":{}}`, "***"},
		{deployment, "spec.template.spec.containers[web].env[DB_PASSWORD].value", "hunter2", "***"},
		{deployment, "spec.template.spec.containers[web].env[COLOR].value", "red", "red"},
		{deployment, "spec.template.spec.containers[web].env[3].value", "hunter2", "***"},
		{deployment, "spec.template.spec.containers[web].env[KEY].valueFrom.secretKeyRef.key", "password", "password"},
		{deployment, "spec.template.spec.tolerations[0].value", "gpu", "gpu"},
		{deployment, "spec.template.spec.containers[web].args[2]", "--token=abc", "--token=***"},
		{deployment, "spec.template.spec.containers[web].args[2]", "serve --admin-password abc -v", "serve --admin-password ***"},
		{deployment, "spec.template.spec.containers[web].image", "registry/secret:1.2", "registry/secret:1.2"},
		{deployment, "spec.template.spec.containers[web].image", "u:p@registry/web:1", "u:p@registry/web:1"},
		{deployment, "spec.template.spec.volumes[v].secret.secretName", "my-secret", "my-secret"},
		{deployment, "spec.template.spec.automountServiceAccountToken", "true", "true"},
		{deployment, "spec.tokens[0]", "x", "x"},
		{deployment, "spec.password[0]", "x", "***"},
		{deployment, "spec.replicas", "", ""},
		{deployment, "spec.password", "", ""},
	} {
		got := masked(c.ref, agent.Field{Path: c.path, Old: c.value, New: c.value})
		if got.Old != c.want || got.New != c.want || got.Path != c.path {
			t.Errorf("%s of %s: %s is shown as %s, want %s", c.path, c.ref, c.value, got.Old, c.want)
		}
	}
}
