package manifest

import (
	"maps"
	"strings"

	"github.com/sluice-dev/sluice/agent"
)

// yield takes out of an object what belongs to a controller although manifests carry it:
// applying it would start a fight, or wipe what was filled in at run time. The values in the
// object are copied before they are changed.
func yield(ref agent.Ref, fields map[string]any) {
	switch ref.Group + "/" + ref.Kind {
	case "rbac.authorization.k8s.io/ClusterRole":
		// Rules of an aggregated role are filled from the roles that its selectors find.
		if fields["aggregationRule"] != nil {
			delete(fields, "rules")
		}
	case "/Secret":
		// Certificate Secrets come empty from Git and are filled at run time.
		for _, field := range []string{"data", "stringData"} {
			if m, ok := fields[field].(map[string]any); fields[field] == nil || ok && len(m) == 0 {
				delete(fields, field)
			}
		}
	case "admissionregistration.k8s.io/MutatingWebhookConfiguration", "admissionregistration.k8s.io/ValidatingWebhookConfiguration":
		yieldWebhooks(fields)
	case "apiextensions.k8s.io/CustomResourceDefinition":
		yieldAuthority(fields, "spec", "conversion", "webhook", "clientConfig")
	case "apiregistration.k8s.io/APIService":
		yieldAuthority(fields, "spec")
	}
}

// yieldWebhooks leaves empty rules to their controller (Knative writes them) and empty
// authorities to whoever injects them.
func yieldWebhooks(fields map[string]any) {
	list, _ := fields["webhooks"].([]any)
	var copied []any
	for _, element := range list {
		webhook, ok := element.(map[string]any)
		if !ok {
			copied = append(copied, element)
			continue
		}
		webhook = maps.Clone(webhook)
		if rules, ok := webhook["rules"].([]any); ok && len(rules) == 0 {
			delete(webhook, "rules")
		}
		yieldAuthority(webhook, "clientConfig")
		copied = append(copied, webhook)
	}
	if copied != nil {
		fields["webhooks"] = copied
	}
}

// yieldAuthority drops an empty or placeholder caBundle below the path: cert-manager and
// others inject the real one.
func yieldAuthority(fields map[string]any, path ...string) {
	if len(path) > 0 {
		below, ok := fields[path[0]].(map[string]any)
		if !ok {
			return
		}
		below = maps.Clone(below)
		fields[path[0]] = below
		yieldAuthority(below, path[1:]...)
		return
	}
	switch bundle := fields["caBundle"].(type) {
	case nil:
		delete(fields, "caBundle")
	case string:
		if text := strings.TrimSpace(bundle); text == "" || text == "Cg==" || text == "Cgo=" {
			delete(fields, "caBundle")
		}
	}
}
