package engine

import (
	"fmt"
	"regexp"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// object is any object, with expressions that say what has become of it. To stop it, it is deleted, for that is all
// that is known of it.
func object(t v1alpha1.ObjectRun) (form, error) {
	version, err := schema.ParseGroupVersion(t.APIVersion)
	if err != nil || version.Version == "" || !aKind.MatchString(t.Kind) || len(t.APIVersion) > 253 {
		return form{}, permanentf("spec.run.object: %.253q with the kind %.63q is no kind: write apiVersion and kind as in a manifest", t.APIVersion, t.Kind)
	}
	if version.Group == "" && t.Kind == "Secret" {
		return form{}, permanentf("spec.run.object: a Secret runs nothing, and its values would be shown as outputs: take another kind")
	}
	if version.Group == v1alpha1.GroupVersion.Group {
		return form{}, permanentf("spec.run.object: a record of Sluice runs nothing: %.63s.%s: take another kind", t.Kind, version.Group)
	}
	read, err := compile(t)
	if err != nil {
		return form{}, err
	}
	return form{
		kind: version.WithKind(t.Kind), install: "install what brings it, or correct spec.run.object.apiVersion and kind",
		content: buildObject, read: read.state,
	}, nil
}

// aKind matches what a kind may be called.
var aKind = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,62}$`)

// buildObject takes everything of a template but what the agent gives itself.
func buildObject(run Run) (content, error) {
	body, err := decode(&run.Template.Object.Template, "object.template")
	if err != nil {
		return content{}, err
	}
	c := content{body: body}
	for name, value := range fields(body).object("metadata") {
		switch name {
		case "labels":
			c.labels, err = textsOf(value, name)
		case "annotations":
			c.annotations, err = textsOf(value, name)
		default:
			err = permanentf("spec.run.object.template: metadata.%s is not for it to say: of metadata it may have labels and annotations; name and namespace are those of the run", words(name))
		}
		if err != nil {
			return content{}, err
		}
	}
	for _, name := range []string{"apiVersion", "kind", "status"} {
		if _, has := body[name]; has {
			return content{}, permanentf("spec.run.object.template has %s: take it out, for spec.run.object says the kind, and its controller the status", name)
		}
	}
	delete(body, "metadata")
	return c, nil
}

// textsOf is labels or annotations.
func textsOf(value any, field string) (map[string]string, error) {
	entries, ok := value.(map[string]any)
	texts := map[string]string{}
	for name, value := range entries {
		text, is := value.(string)
		ok = ok && is
		texts[name] = text
	}
	if !ok {
		return nil, permanentf("spec.run.object.template: metadata.%s has to have strings: put numbers and true in quotes", field)
	}
	return texts, nil
}

// verdicts are the expressions of an ObjectRun.
type verdicts struct {
	succeeded, failed, message *question
	outputs                    map[string]*question
}

func compile(t v1alpha1.ObjectRun) (v verdicts, err error) {
	if v.succeeded, err = newQuestion("succeeded", t.Succeeded, true); err != nil {
		return v, err
	}
	if v.failed, err = newQuestion("failed", t.Failed, true); err != nil {
		return v, err
	}
	if t.Message != "" {
		if v.message, err = newQuestion("message", t.Message, false); err != nil {
			return v, err
		}
	}
	v.outputs = map[string]*question{}
	for _, name := range namesOf(t.Outputs) {
		if v.outputs[name], err = newQuestion("outputs."+name, t.Outputs[name], false); err != nil {
			return v, err
		}
	}
	return v, nil
}

// state judges an object. What asks for a field that is not there yet is not true yet; what cannot be judged otherwise
// is said, and the run goes on.
func (v verdicts) state(_ Run, f fields) State {
	failed, failedErr := v.failed.flag(f)
	succeeded, succeededErr := v.succeeded.flag(f)
	switch s := (State{}); {
	case failed:
		s.Phase, s.Message = v1alpha1.RunFailed, "object.failed is true"
		if v.message != nil {
			message, err := v.message.text(f)
			s.Message = firstText(message, s.Message)
			if err != nil {
				s.Message += fmt.Sprintf("; %v", err)
			}
		}
		return s
	case succeeded && failedErr == nil:
		s.Phase, s.Outputs = v1alpha1.RunSucceeded, map[string]string{}
		for _, name := range namesOf(v.outputs) {
			value, err := v.outputs[name].text(f)
			if err != nil {
				s.Message = err.Error() + ": the output is left out"
				continue
			}
			s.Outputs[name] = value
		}
		return s
	}
	s := State{Phase: v1alpha1.RunPending}
	if f.object("status") != nil {
		s.Phase = v1alpha1.RunRunning
	}
	for _, err := range []error{failedErr, succeededErr} {
		if err != nil {
			s.Message = err.Error()
			break
		}
	}
	return s
}
