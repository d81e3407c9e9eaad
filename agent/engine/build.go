package engine

import (
	"maps"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation"
)

// form is how the runs of one engine look.
type form struct {
	kind schema.GroupVersionKind
	// install says what to install where the cluster does not know the kind.
	install string
	// content is everything of the object but its name and owner, and the labels that come with these.
	content func(Run) (content, error)
	// read says what the object of a run says.
	read func(Run, fields) State
	// needs is an object without which one would never begin, in the same namespace if it is in one, and its kind;
	// nil for none.
	needs func(*unstructured.Unstructured) (agent.Ref, schema.GroupVersionKind)
	// pods is the label by which the pods of a run have its name; empty where there is none.
	pods string
	// stopped is what of the spec makes it stop; nil where it is deleted.
	stopped map[string]any
}

// content is what a template says of an object.
type content struct {
	// body has the fields beside metadata, such as spec.
	body                map[string]any
	labels, annotations map[string]string
}

// formOf chooses the engine of a template.
func formOf(t v1alpha1.RunTemplate) (form, error) {
	switch {
	case t.Workflow != nil:
		return workflow, nil
	case t.TrainJob != nil:
		return trainJob, nil
	case t.TrainingJob != nil:
		return trainingJob(t.TrainingJob.Kind), nil
	case t.Experiment != nil:
		return experiment, nil
	case t.Job != nil:
		return job, nil
	case t.Object != nil:
		return object(*t.Object)
	}
	return form{}, permanentf("there is nothing to run that is an object of the cluster: spec.run needs workflow, trainJob, trainingJob, experiment, job or object")
}

// ref is the object of a run.
func (f form) ref(run Run) agent.Ref {
	return agent.Ref{Group: f.kind.Group, Kind: f.kind.Kind, Namespace: run.Namespace, Name: run.Name}
}

// ObjectOf is the kind of object that a template makes; it is empty for what is no object of the cluster.
func ObjectOf(t v1alpha1.RunTemplate) schema.GroupVersionKind {
	f, err := formOf(t)
	if err != nil {
		return schema.GroupVersionKind{}
	}
	return f.kind
}

// Build makes the object of a run. What the template says of it is left as it is.
func Build(run Run) (*unstructured.Unstructured, error) {
	f, err := formOf(run.Template)
	if err != nil {
		return nil, err
	}
	if err := checkName(run.Name); err != nil {
		return nil, err
	}
	c, err := f.content(run)
	if err != nil {
		return nil, err
	}
	for name := range c.labels {
		if strings.HasPrefix(name, v1alpha1.GroupVersion.Group+"/") {
			return nil, permanentf("%s: the label %s is for the agent to set: take it out of spec.run", f.ref(run), words(name))
		}
	}
	o := &unstructured.Unstructured{Object: c.body}
	o.SetGroupVersionKind(f.kind)
	o.SetNamespace(run.Namespace)
	o.SetName(run.Name)
	labels := map[string]string{v1alpha1.RetrainingLabel: labelled(run.Retraining), v1alpha1.RunLabel: labelled(run.Record)}
	maps.Copy(labels, c.labels)
	o.SetLabels(labels)
	if len(c.annotations) > 0 {
		o.SetAnnotations(c.annotations)
	}
	o.SetOwnerReferences([]metav1.OwnerReference{ownerOf(run)})
	return o, nil
}

// Pods selects the pods of a run by a label: those whose logs and termination messages are the run's. It is empty
// where that is not known.
func Pods(run Run) string {
	if run.Template.KFP != nil { // it names the pods by the id of the run
		if run.ID == "" || len(validation.IsValidLabelValue(run.ID)) > 0 {
			return ""
		}
		return "pipeline/runid=" + run.ID
	}
	f, err := formOf(run.Template)
	if err != nil || f.pods == "" {
		return ""
	}
	return f.pods + "=" + run.Name
}

// fromTemplate is the content of an object of which a template has the spec.
func fromTemplate(t v1alpha1.ObjectTemplate, field string) (content, error) {
	spec, err := decode(&t.Spec, field+".spec")
	if err != nil {
		return content{}, err
	}
	return content{map[string]any{"spec": spec}, t.Labels, t.Annotations}, nil
}

// decode reads an object of JSON; nothing is an empty one.
func decode(raw *apiextensionsv1.JSON, field string) (map[string]any, error) {
	decoded := map[string]any{}
	if raw == nil || len(raw.Raw) == 0 {
		return decoded, nil
	}
	if err := json.Unmarshal(raw.Raw, &decoded); err != nil || decoded == nil {
		return nil, permanentf("spec.run.%s is no object: write fields and their values", field)
	}
	return decoded, nil
}

// merge puts the fields of over into those of base. Lists and values take the place of what was there.
func merge(base, over map[string]any) {
	for name, value := range over {
		inner, isObject := value.(map[string]any)
		if below, has := base[name].(map[string]any); isObject && has {
			merge(below, inner)
			continue
		}
		base[name] = value
	}
}

// namesOf is the names of a map in their order.
func namesOf[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
