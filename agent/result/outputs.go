package result

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// FromOutputs takes the document together from outputs of a run. The spec names them; a uri that is one is
// taken as it is. Outputs often come from files, which end in a newline.
func FromOutputs(spec v1alpha1.ResultOutputs, outputs map[string]string) (Document, error) {
	d, metrics := Document{URI: spec.URI}, map[string]string{}
	var err error
	if !strings.Contains(spec.URI, "://") {
		if d.URI, err = output(outputs, spec.URI, "uri"); err != nil {
			return Document{}, err
		}
		if d.URI == "" {
			return Document{}, fmt.Errorf("the output %s, which is to be the uri of the artifact, is empty: have the run write it", shown(spec.URI))
		}
	}
	if spec.Dataset != "" {
		if d.Lineage.Dataset, err = output(outputs, spec.Dataset, "dataset"); err != nil {
			return Document{}, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Metrics)) {
		if metrics[name], err = output(outputs, spec.Metrics[name], "metrics."+name); err != nil {
			return Document{}, err
		}
	}
	return d.checked(metrics)
}

// output is an output by its name.
func output(outputs map[string]string, name, field string) (string, error) {
	text, is := outputs[name]
	if !is {
		return "", fmt.Errorf("there is no output %s, which spec.result.outputs.%s names: the run has %s", shown(name), shown(field), some(outputs))
	}
	return strings.TrimSpace(text), nil
}

// some names outputs that there are.
func some(outputs map[string]string) string {
	const most = 16
	var named []string
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		if len(named) == most {
			return strings.Join(named, ", ") + fmt.Sprintf(" and %d more", len(outputs)-most)
		}
		named = append(named, shown(name))
	}
	if len(named) == 0 {
		return "none"
	}
	return strings.Join(named, ", ")
}
