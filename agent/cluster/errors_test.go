package cluster

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// refusal is what the API server answers.
func refusal(code int32, reason metav1.StatusReason, message string, causes ...metav1.StatusCause) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message, Details: &metav1.StatusDetails{Causes: causes},
	}}
}

// invalid is the refusal of one field.
func invalid(object, field, why string) error {
	cause := metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Field: field, Message: why}
	if strings.HasPrefix(why, "Forbidden: ") {
		cause.Type = metav1.CauseTypeForbidden
	}
	return refusal(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, fmt.Sprintf("%s is invalid: %s: %s", object, field, why), cause)
}

func forbidden(message string) error {
	return refusal(http.StatusForbidden, metav1.StatusReasonForbidden, message)
}

// The words are those of a Kubernetes 1.37 API server.
func TestRefusals(t *testing.T) {
	policy := "ValidatingAdmissionPolicy 'frozen' with binding 'frozen' denied request: data is immutable"
	for _, c := range []struct {
		name   string
		err    error
		class  agent.Class
		says   []string
		hushes []string
	}{
		{"credentials in a URL", invalid(`ModelVersion.sluice.dev "m"`, "spec.artifact.uri", `Invalid value: "s3://key:hun/ter2@models/m": it is refused`), agent.Invalid, []string{`"s3://…@models/m": it is refused`}, []string{"hun", "ter2"}},
		{"a signature in a URL", invalid(`Model.sluice.dev "m"`, "spec.url", `Invalid value: "https://a/b?sig=hunter2": it is refused`), agent.Invalid, []string{`"https://a/b?…": it is refused`}, []string{"hunter2"}},
		{"a number in place of a string", errors.New(`failed to create typed patch object (a/m; sluice.dev/v1alpha1, Kind=ModelVersion): .spec.metrics.auc: expected string, got &value.valueUnstructured{Value:0.9}`),
			agent.Invalid, []string{".spec.metrics.auc is 0.9, and has to be a string: put it in quotes"}, []string{"valueUnstructured"}},
		{"a field that is missing", invalid(`Model.sluice.dev "m"`, "spec.a", "Required value, <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"),
			agent.Invalid, []string{"spec.a: Required value"}, []string{"some validation rules"}},
		{"deployment's selector", invalid(`Deployment.apps "d"`, "spec.selector", `Invalid value: {"matchLabels":{"a":"c"}}: field is immutable`),
			agent.Immutable, []string{"spec.selector: field is immutable: give the object a new name", "replace"}, []string{"matchLabels"}},
		{"pod's fields", invalid(`Pod "p"`, "spec", "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.tolerations` (only additions to existing tolerations)\n@@ -102,7 +102,13 @@\n    \"WorkingDir\": \"\",\n+     \"Value\": \"b\",\n"),
			agent.Immutable, []string{"spec: pod updates may not change fields other than"}, []string{"@@", "WorkingDir"}},
		{"pod's containers", invalid(`Pod "p"`, "spec.containers", "Forbidden: pod updates may not add or remove containers"), agent.Immutable, []string{"spec.containers"}, nil},
		{"job's template", invalid(`Job.batch "j"`, "spec.template", `Invalid value: {"labels":{"job-name":"j"},"Spec":{"Containers":[{"Name":"c","Env":[{"Name":"A","Value":"x: y"}]`+strings.Repeat(`,{"Name":"c"}`, 100)+`]}}: field is immutable`),
			agent.Immutable, []string{"spec.template: field is immutable"}, []string{"Containers"}},
		{"job's completions", invalid(`Job.batch "j"`, "spec.completions", "Invalid value: 3: field is immutable"), agent.Immutable, nil, nil},
		{"job's completions otherwise", invalid(`Job.batch "j"`, "spec.completions", "Invalid value: 2: can only be modified in tandem with spec.parallelism"), agent.Invalid, nil, nil},
		{"statefulset's claims", invalid(`StatefulSet.apps "s"`, "spec.volumeClaimTemplates", `Invalid value: [{"name":"v"}]: field is immutable`), agent.Immutable, nil, nil},
		{"statefulset's fields, before 1.37", invalid(`StatefulSet.apps "s"`, "spec", "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"),
			agent.Immutable, nil, nil},
		{"service's address", invalid(`Service "s"`, "spec.clusterIPs[0]", `Invalid value: ["10.0.0.77"]: may not change once set`), agent.Immutable, nil, nil},
		{"service's address family", invalid(`Service "s"`, "spec.clusterIPs[0]", "Invalid value: \"127.96.132.75\": expected an IPv6 value as indicated by `ipFamilies[0]`"), agent.Invalid, nil, nil},
		{"service's class", invalid(`Service "lb"`, "spec.loadBalancerClass", `Invalid value: "a.b/d": may not change once set`), agent.Immutable, nil, nil},
		{"claim", invalid(`PersistentVolumeClaim "p"`, "spec", "Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n@@ -1,6 +1,6 @@\n {\n  \"AccessModes\": [\n"), agent.Immutable, nil, []string{"AccessModes"}},
		{"volume", invalid(`PersistentVolume "p"`, "spec.persistentvolumesource", "Forbidden: spec.persistentvolumesource is immutable after creation\n@@ -2,7 +2,7 @@\n"), agent.Immutable, nil, nil},
		{"immutable configmap", invalid(`ConfigMap "c"`, "data", "Forbidden: field is immutable when `immutable` is set"), agent.Immutable, nil, nil},
		{"role of a binding", invalid(`RoleBinding.rbac.authorization.k8s.io "r"`, "roleRef", `Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"two"}: field is immutable`), agent.Immutable, nil, nil},
		{"priority", invalid(`PriorityClass.scheduling.k8s.io "s"`, "value", "Forbidden: may not be changed in an update."), agent.Immutable, nil, nil},
		{"scope of a CRD", invalid(`CustomResourceDefinition.apiextensions.k8s.io "widgets.shop.dev"`, "spec.scope", `Invalid value: "Cluster": field is immutable`), agent.Immutable, nil, nil},
		{"rule of a CRD", invalid(`Widget.shop.dev "w"`, "spec.size", "Invalid value: 2: Value is immutable"), agent.Immutable, nil, nil},
		{"rule of a CRD without words", invalid(`Widget.shop.dev "w"`, "spec.plain", "Invalid value: 2: failed rule: self == oldSelf"), agent.Immutable, nil, nil},
		{"policy", refusal(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, `configmaps "vap" is forbidden: `+policy, metav1.StatusCause{Message: policy}), agent.Immutable, []string{"data is immutable"}, nil},
		{"policy that forbids", forbidden(`deployments.apps "d" is forbidden: ValidatingAdmissionPolicy 'limits' with binding 'limits' denied request: set limits`), agent.Invalid, []string{"set limits"}, []string{"may not do this"}},
		{"a value that says it is immutable", invalid(`Deployment.apps "is immutable"`, "metadata.name", `Invalid value: "is immutable": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`),
			agent.Invalid, nil, nil},

		{"rights", forbidden(`configmaps "a" is forbidden: User "system:serviceaccount:shop:deployer" cannot patch resource "configmaps" in API group "" in the namespace "shop"`),
			agent.Forbidden, []string{"ServiceAccount shop/deployer may not do this"}, nil},
		{"more rights than one has", forbidden(`roles.rbac.authorization.k8s.io "r" is forbidden: user "system:serviceaccount:shop:deployer" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:` + "\n" + `{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}`),
			agent.Forbidden, []string{"ServiceAccount shop/deployer may not do this", "not currently held"}, nil},
		{"quota", forbidden(`configmaps "q1" is forbidden: exceeded quota: few, requested: configmaps=1, used: configmaps=3, limited: configmaps=1`),
			agent.Waiting, []string{"exceeded quota: few", "tried again", "raise the ResourceQuota"}, []string{"ServiceAccount"}},
		{"quota that needs requests", forbidden(`pods "q" is forbidden: failed quota: few: must specify requests.cpu for: c`),
			agent.Invalid, []string{"must specify requests.cpu for: c: set it in the resources", "LimitRange"}, []string{"ServiceAccount"}},
		{"pod security", forbidden(`pods "p" is forbidden: violates PodSecurity "restricted:latest": host namespaces (hostNetwork=true), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)`),
			agent.Invalid, []string{"runAsNonRoot=true): change what it names", "pod-security.kubernetes.io/enforce of the namespace shop"}, []string{"ServiceAccount"}},
		{"limits", forbidden(`pods "q2" is forbidden: maximum cpu usage per Container is 1, but limit is 2`), agent.Forbidden, []string{"refused to anybody", "maximum cpu usage"}, []string{"ServiceAccount"}},
		{"account of a pod", forbidden(`pods "q9" is forbidden: error looking up service account shop/nobody: serviceaccount "nobody" not found`), agent.Forbidden, []string{"nobody"}, []string{"ServiceAccount"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := explain(agent.Ref{Kind: "Pod", Namespace: "shop", Name: "one"}, Account{Namespace: "shop", Name: "deployer"}, c.err)
			if ClassOf(err) != c.class {
				t.Errorf("it is %s, want %s", ClassOf(err), c.class)
			}
			for _, text := range c.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("it does not say %q: %s", text, err)
				}
			}
			for _, text := range c.hushes {
				if strings.Contains(err.Error(), text) {
					t.Errorf("it says %q: %s", text, err)
				}
			}
		})
	}
}

// The words about a Secret may hold its values.
func TestRefusalOfASecret(t *testing.T) {
	for _, c := range []struct {
		err   error
		class agent.Class
	}{
		{invalid(`Secret "c"`, "type", `Invalid value: "hush": field is immutable`), agent.Immutable},
		{refusal(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "hush is immutable", metav1.StatusCause{Message: "hush is immutable"}), agent.Immutable},
		{invalid(`Secret "c"`, "data[a]", `Invalid value: "hush": must be base64`), agent.Invalid},
	} {
		err := explain(agent.Ref{Kind: "Secret", Namespace: "shop", Name: "one"}, Account{}, c.err)
		if ClassOf(err) != c.class || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %s", ClassOf(err), err)
		}
	}
}

// What is different at every try must not make every try look like news.
func TestBrief(t *testing.T) {
	for _, c := range []struct{ said, want string }{
		{"read tcp 127.0.0.1:54321->127.0.0.1:6443: read: connection reset by peer", "read tcp 127.0.0.1:6443: read: connection reset by peer"},
		{"write tcp [::1]:54321->[::1]:6443: write: broken pipe", "write tcp [::1]:6443: write: broken pipe"},
		{`Post "https://hook.shop.svc:443/validate?timeout=10s": dial tcp: lookup hook.shop.svc on 10.96.0.10:53: read udp 10.1.2.3:44123->10.96.0.10:53: i/o timeout`,
			`Post "https://hook.shop.svc:443/validate?timeout=10s": dial tcp: lookup hook.shop.svc on 10.96.0.10:53: read udp 10.96.0.10:53: i/o timeout`},
		{"dial tcp 10.0.0.1:6443: connect: connection refused", "dial tcp 10.0.0.1:6443: connect: connection refused"},
		{`http2: server sent GOAWAY and closed the connection; LastStreamID=1999, ErrCode=NO_ERROR, debug=""`, `http2: server sent GOAWAY and closed the connection; ErrCode=NO_ERROR, debug=""`},
		{"tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-24T03:35:11Z is after 2026-01-01T00:00:00Z",
			"tls: failed to verify certificate: x509: certificate has expired or is not yet valid: now is after 2026-01-01T00:00:00Z"},
		{"spec:  Forbidden\n@@ -1,6 +1,6 @@\n {\n", "spec: Forbidden"},
		{strings.Repeat("a", 599) + "äöü", strings.Repeat("a", 599) + "…"},
	} {
		if is := brief(errors.New(c.said)); is != c.want {
			t.Errorf("%q became %q, want %q", c.said, is, c.want)
		}
	}
}
