package manifest

import (
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// wishes are the sluice.dev annotations of objects and what their values ask for.
var wishes = []struct {
	annotation string
	several    bool // values may be combined with commas
	values     map[string]func(*agent.Options)
	allowed    string // the values, for people
}{
	{v1alpha1.ForceAnnotation, true, map[string]func(*agent.Options){
		"fields":  func(o *agent.Options) { o.ForceFields = true },
		"replace": func(o *agent.Options) { o.ForceReplace = true },
		"owner":   func(o *agent.Options) { o.ForceOwner = true },
	}, "fields, replace, owner, or several with commas between"},
	{v1alpha1.PruneAnnotation, false, map[string]func(*agent.Options){
		"disabled": func(*agent.Options) {}, // asked of the live object, for then it is no longer in Git
		"enabled":  func(*agent.Options) {},
	}, "disabled or enabled"},
	{v1alpha1.ApplyAnnotation, false, map[string]func(*agent.Options){
		"once":   func(o *agent.Options) { o.ApplyOnce = true },
		"never":  func(o *agent.Options) { o.Ignore = true },
		"always": func(*agent.Options) {},
	}, "once, never or always"},
	{v1alpha1.SubstituteAnnotation, false, map[string]func(*agent.Options){
		"enabled":  func(*agent.Options) {},
		"disabled": func(*agent.Options) {},
	}, "enabled or disabled"},
}

// options reads the sluice.dev annotations of an object. A value that is not known is an
// error: a wish that is not understood must not be taken for its absence.
func options(annotations map[string]any) (agent.Options, error) {
	var o agent.Options
	for _, wish := range wishes {
		text, ok := annotations[wish.annotation].(string)
		if !ok {
			continue
		}
		words := []string{text}
		if wish.several {
			words = strings.Split(text, ",")
		}
		for _, word := range words {
			grant, known := wish.values[strings.TrimSpace(word)]
			if !known {
				return agent.Options{}, fmt.Errorf("the annotation %s is %q, which is not known: use %s", wish.annotation, word, wish.allowed)
			}
			grant(&o)
		}
	}
	return o, nil
}
