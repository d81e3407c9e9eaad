package plan

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent"
	"sigs.k8s.io/yaml"
)

func TestMasked(t *testing.T) {
	secret, knative := agent.Ref{Kind: "Secret", Name: "key"}, agent.Ref{Group: "serving.knative.dev", Kind: "Secret"}
	for _, c := range []struct {
		ref               agent.Ref
		path, value, want string // values as in YAML
	}{
		{secret, "data.color", "cmVk", "***"},
		{secret, "stringData.port", "80", "***"},
		{secret, "data[tls.crt]", "cmVk", "***"},
		{secret, "data", "{color: cmVk}", "***"},
		{secret, "type", "Opaque", "Opaque"},
		{knative, "data.color", "red", "red"},
		{conf, "data.color", "red", "red"},
		{conf, "data.PASSWORD", "hunter2", "***"},
		{conf, "data.DB_PASSWORD", "hunter2", "***"},
		{conf, "data[db.password]", `"123"`, "***"},
		{conf, "data.dbPass", "red", "red"}, // no word: compass ends so too
		{conf, "data.DB_PASS", "hunter2", "***"},
		{conf, "data[aws-secret-access-key]", "x", "***"},
		{conf, "data.apiKey", "x", "***"},
		{conf, "data.OPENAI_API_KEY", "x", "***"},
		{conf, "data.monkey", "x", "x"},
		{conf, "data.publicKey", "x", "x"},
		{conf, "data.useToken", `"true"`, `"true"`},
		{conf, "data.maxTokens", `"4096"`, `"4096"`},
		{conf, "data.secretName", "tls", "tls"},
		{conf, "data[app.properties]", `"a=b\ndb.password=correct horse"`, "|- a=b db.password=***"},
		{conf, "data[app.yaml]", `"user: x\npassword: y\nz: 1"`, "|- user: x password: ***"},
		{conf, "data[app.json]", `'{"user":"x","api_key":"y","z":1}'`, `'{"user":"x","api_key":"***'`},
		{conf, "data[app.json]", `'{"password": ""}'`, `'{"password": ""}'`},
		{conf, "data.key", `"-----BEGIN RSA PRIVATE KEY-----\nMIIE"`, "***"},
		{conf, "data.crt", `"-----BEGIN CERTIFICATE----- MIIE"`, "'-----BEGIN CERTIFICATE----- MIIE'"},
		{conf, "data.url", "postgres://u:p@db/x", "postgres://***@db/x"},
		{conf, "data.url", "postgres://u:p@ss@db/x", "postgres://***@db/x"},
		{conf, "data.url", "x postgres://u:pas…", "x postgres://***…"},
		{conf, "data.url", "oci://registry:5000/x@sha256:1", "oci://registry:5000/x@sha256:1"},
		{conf, "data.aws", "AKIAIOSFODNN7EXAMPLE", "***"},
		{conf, "data.gh", "use ghp_abcdefghijklmnopqrst0123456789", "use ***"},
		{conf, "data.jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "***"},
		{conf, "data.header", "Bearer abcdefghijklmnop0123", "***"},
		{conf, "data.text", "basic authentication is used", "basic authentication is used"},
		{conf, "metadata.annotations[kubectl.kubernetes.io/last-applied-configuration]", `'{"data":{}}'`, "***"},
		{web, "spec.template.spec.containers[web].env[DB_PASSWORD].value", "hunter2", "***"},
		{web, "spec.template.spec.containers[web].env[COLOR].value", "red", "red"},
		{web, "spec.template.spec.containers[web].env[3].value", "hunter2", "***"},
		{web, "spec.template.spec.containers[web].env[KEY].valueFrom.secretKeyRef.key", "password", "password"},
		{web, "spec.template.spec.containers[web].env", "[{name: DB_PASSWORD, value: hunter2}, {name: COLOR, value: red}]", `- name: DB_PASSWORD value: '***' - name: COLOR value: red`},
		{web, "spec.template.spec.containers[web]", "{name: web, env: [{name: DB_PASSWORD, value: hunter2}], token: hunter2}", `env: - name: DB_PASSWORD value: '***' name: web token: '***'`},
		{web, "spec.template.spec.tolerations[0].value", "gpu", "gpu"},
		{web, "spec.template.spec.containers[web].args[2]", "--token=abc", "--token=***"},
		{web, "spec.template.spec.containers[web].args", "[serve, --token=abc]", "- serve - --token=***"},
		{web, "spec.template.spec.containers[web].args", "[serve, --admin-password, abc, -v]", "- serve - --admin-password - '***' - -v"},
		{web, "spec.template.spec.containers[web].args[2]", "serve --admin-password abc -v", "serve --admin-password ***"},
		{web, "spec.template.spec.containers[web].image", "registry/secret:1.2", "registry/secret:1.2"},
		{web, "spec.template.spec.containers[web].image", "u:p@registry/web:1", "u:p@registry/web:1"},
		{web, "spec.template.spec.volumes[v].secret.secretName", "my-secret", "my-secret"},
		{web, "spec.template.spec.volumes[v]", "{name: v, secret: {secretName: my-secret}}", "name: v secret: secretName: my-secret"},
		{web, "spec.template.spec.automountServiceAccountToken", "true", "true"},
		{web, "spec.tokens[0]", "x", "x"},
		{web, "spec.password[0]", "x", "***"},
		{web, "spec.password", `""`, `""`},
		{web, "spec.password", "123", "123"}, // a number
	} {
		var value any
		if err := yaml.Unmarshal([]byte(c.value), &value); err != nil {
			t.Fatal(err)
		}
		if d := (&differ{ref: c.ref}); d.show(c.path, value, true) != c.want {
			t.Errorf("%s of %s: %s is shown as %s, want %s", c.path, c.ref, c.value, d.show(c.path, value, true), c.want)
		}
	}
	if got := (&differ{}).show("spec.password", nil, false); got != "" {
		t.Errorf("what is not there is shown as %q", got)
	}
}

// TestMaskedArguments: what an argument means is said by the one before.
func TestMaskedArguments(t *testing.T) {
	before, after := parse(t, "args: [--user, ann, --password, abc]"), parse(t, "args: [--user, bob, --password, def, --verbose]")
	var lines []string
	for _, f := range Diff(web, before, after) {
		lines = append(lines, f.String())
	}
	if got, want := strings.Join(lines, "\n"), "~ args[1]: ann -> bob\n~ args[3]: *** -> ***\n+ args[4]: --verbose"; got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// TestMaskedFirst: a secret is masked before its value is cut to a line, so that no part of it is left.
func TestMaskedFirst(t *testing.T) {
	text := strings.Repeat("x", maxValue-10) + " ghp_abcdefghijklmnopqrst0123456789"
	for _, f := range Diff(conf, nil, map[string]any{"data": map[string]any{"text": text}}) {
		if strings.Contains(f.New, "ghp") {
			t.Errorf("a part of it shows: %s", f)
		}
	}
	before := map[string]any{"env": []any{map[string]any{"name": "API_KEY", "value": "hunter2"}}}
	Diff(web, before, nil)
	if before["env"].([]any)[0].(map[string]any)["value"] != "hunter2" {
		t.Error("the object itself was changed")
	}
}
