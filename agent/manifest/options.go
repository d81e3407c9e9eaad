package manifest

import (
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// options reads the sluice.dev annotations of an object. A value that is not known is an
// error: a wish that is not understood must not be taken for its absence.
func options(annotations map[string]any) (agent.Options, error) {
	var o agent.Options
	set := map[string]map[string]func(){
		v1alpha1.ForceAnnotation: {
			"fields":  func() { o.ForceFields = true },
			"replace": func() { o.ForceReplace = true },
			"owner":   func() { o.ForceOwner = true },
		},
		v1alpha1.PruneAnnotation:      {"disabled": func() { o.KeepOnPrune = true }, "enabled": func() {}},
		v1alpha1.ApplyAnnotation:      {"once": func() { o.ApplyOnce = true }, "never": func() { o.Ignore = true }, "always": func() {}},
		v1alpha1.SubstituteAnnotation: {"enabled": func() {}, "disabled": func() {}},
	}
	for name, values := range set {
		text, ok := annotations[name].(string)
		if !ok {
			continue
		}
		words := []string{text}
		if name == v1alpha1.ForceAnnotation {
			words = strings.Split(text, ",")
		}
		for _, word := range words {
			do, known := values[strings.TrimSpace(word)]
			if !known {
				return o, fmt.Errorf("annotation %s: %q is not known; use %s", name, word, allowed[name])
			}
			do()
		}
	}
	return o, nil
}

// allowed lists the values of each annotation for people.
var allowed = map[string]string{
	v1alpha1.ForceAnnotation:      "fields, replace, owner, or several with commas between",
	v1alpha1.PruneAnnotation:      "disabled or enabled",
	v1alpha1.ApplyAnnotation:      "once, never or always",
	v1alpha1.SubstituteAnnotation: "enabled or disabled",
}
