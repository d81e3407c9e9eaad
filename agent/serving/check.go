package serving

import (
	"fmt"
	"regexp"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// Check says what is wrong with what a Model has under serving, by the name of the field. It
// needs no version and no cluster.
func Check(s v1alpha1.Serving) error {
	switch {
	case (s.KServe != nil) == (s.Deployment != nil):
		return fmt.Errorf("spec.serving has to have exactly one of kserve and deployment")
	case s.KServe != nil:
		_, err := kserveTemplate(*s.KServe)
		return err
	}
	_, err := deploymentTemplate(*s.Deployment)
	return err
}

var modelName = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)

// check looks at what the definitions of the kinds refuse too: they may be older than the
// agent, and names become parts of names.
func check(w Want) error {
	switch {
	case !modelName.MatchString(w.Model) || len(w.Model) > longest:
		return fmt.Errorf("the name of the Model, %q, has to be at most %d lower-case letters, digits and '-', a letter first", w.Model, longest)
	case len(validation.IsValidLabelValue(w.Stage)) > 0 || w.Stage == "":
		return fmt.Errorf("the name of the stage, %q, cannot be a label: use letters, digits and '-'", w.Stage)
	case len(validation.IsDNS1123Label(w.Namespace)) > 0:
		return fmt.Errorf("the namespace %q of stage %s is no name of a namespace", w.Namespace, w.Stage)
	case w.Traffic < 0 || w.Traffic > 100:
		return fmt.Errorf("a candidate cannot have %d percent of the traffic", w.Traffic)
	}
	names := map[string]string{}
	for _, v := range w.running() {
		if len(validation.IsValidLabelValue(v.Name)) > 0 || v.Name == "" {
			return fmt.Errorf("the version %q cannot be a label: give it a name of at most 63 letters, digits, '-', '_' and '.'", v.Name)
		}
		if v.URI == "" {
			return fmt.Errorf("version %s has no artifact: give its ModelVersion spec.artifact.uri", v.Name)
		}
		name := nameOf(w.Model, v.Name)
		if other, taken := names[name]; taken {
			return fmt.Errorf("versions %s and %s would both be called %s in the cluster: rename one", other, v.Name, name)
		}
		names[name] = v.Name
	}
	return nil
}

// ownLabels are set by the agent and nobody else: selectors are made of them.
var ownLabels = []string{v1alpha1.ModelLabel, v1alpha1.ModelNamespaceLabel, v1alpha1.StageLabel, v1alpha1.VersionLabel}

// checkMetadata looks at the metadata that is put on objects.
func checkMetadata(field string, m *v1alpha1.CommonMetadata) error {
	if m == nil {
		return nil
	}
	for _, label := range ownLabels {
		if _, set := m.Labels[label]; set {
			return fmt.Errorf("%s.labels sets %s, which the agent sets: remove it", field, label)
		}
	}
	return nil
}

// checkLabels looks at labels within a template.
func checkLabels(field string, labels any) error {
	if labels == nil {
		return nil
	}
	m, ok := labels.(map[string]any)
	if !ok {
		return fmt.Errorf("%s is not a mapping of labels", field)
	}
	for _, label := range ownLabels {
		if _, set := m[label]; set {
			return fmt.Errorf("%s sets %s, which the agent sets: remove it", field, label)
		}
	}
	return nil
}

// checkGateway looks at the route that is to be made.
func checkGateway(field string, g *v1alpha1.GatewayReference) error {
	switch {
	case g == nil:
		return nil
	case g.Name == "":
		return fmt.Errorf("%s.name is empty: name a Gateway", field)
	case g.Path != "" && g.Path[0] != '/':
		return fmt.Errorf("%s.path has to begin with '/'", field)
	}
	return nil
}
