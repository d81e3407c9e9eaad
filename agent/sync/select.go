package sync

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/labels"
)

// selects compiles a Kustomize selector: anchored regular expressions for group, version,
// kind, namespace and name, and selectors over labels and annotations. Nil selects all.
func selects(target *kustomize.Selector) (func(agent.Object) bool, error) {
	if target == nil {
		return func(agent.Object) bool { return true }, nil
	}
	patterns := map[string]*regexp.Regexp{}
	for field, text := range map[string]string{
		"group": target.Group, "version": target.Version, "kind": target.Kind,
		"namespace": target.Namespace, "name": target.Name,
	} {
		pattern, err := regexp.Compile("^(?:" + text + ")$")
		if err != nil {
			return nil, fmt.Errorf("%s %q is no regular expression: %w", field, text, err)
		}
		if text != "" {
			patterns[field] = pattern
		}
	}
	byLabel, err := labels.Parse(target.LabelSelector)
	if err != nil {
		return nil, fmt.Errorf("labelSelector: %w", err)
	}
	byAnnotation, err := labels.Parse(target.AnnotationSelector)
	if err != nil {
		return nil, fmt.Errorf("annotationSelector: %w", err)
	}
	return func(o agent.Object) bool {
		for field, value := range map[string]string{
			"group": o.Ref.Group, "version": o.Version, "kind": o.Ref.Kind,
			"namespace": o.Ref.Namespace, "name": o.Ref.Name,
		} {
			if p, set := patterns[field]; set && !p.MatchString(value) {
				return false
			}
		}
		if byLabel.Empty() && byAnnotation.Empty() {
			return true
		}
		l, a := metadataOf(o)
		return byLabel.Matches(l) && byAnnotation.Matches(a)
	}, nil
}

func metadataOf(o agent.Object) (labels.Set, labels.Set) {
	var object struct {
		Metadata struct {
			Labels      map[string]string
			Annotations map[string]string
		}
	}
	if err := json.Unmarshal(o.JSON, &object); err != nil {
		return nil, nil
	}
	return object.Metadata.Labels, object.Metadata.Annotations
}

// leavingOut leaves to others what spec.ignore says.
func leavingOut(o *v1alpha1.Overlay, set agent.Set) (agent.Set, error) {
	if len(o.Spec.Ignore) == 0 {
		return set, nil
	}
	pointers := make([][]string, len(set.Objects))
	for n, rule := range o.Spec.Ignore {
		matches, err := selects(rule.Target)
		if err != nil {
			return set, fmt.Errorf("spec.ignore[%d].target: %w", n, err)
		}
		for i, object := range set.Objects {
			if matches(object) {
				pointers[i] = append(pointers[i], rule.Paths...)
			}
		}
	}
	objects := slices.Clone(set.Objects)
	for i := range objects {
		objects[i] = objects[i].LeavingOut(pointers[i])
	}
	return agent.NewSet(objects), nil
}
