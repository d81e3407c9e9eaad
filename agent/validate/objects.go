package validate

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"path"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/manifest"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/sluice-dev/sluice/agent/retrain"
)

// failures reports what could not be rendered.
func (v *validation) failures(units []unit) {
	for _, u := range units {
		e, ok := errors.AsType[*render.Error](u.err)
		if !ok {
			continue
		}
		file, line, message := e.File, e.Line, e.Message
		if e.Ref != (agent.Ref{}) {
			message = e.Ref.String() + ": " + message
		}
		switch {
		case file == "" && u.overlay != nil:
			file, line, message = u.declared.file, u.declared.line, u.title()+": "+message
		case file == "":
			file = cmp.Or(v.survey.kustomizations[u.spec.Path], u.spec.Path)
		}
		v.find(file, max(line, 1), "%s", message)
	}
}

// definitions takes in all CRDs before objects are checked.
func (v *validation) definitions(units []unit) {
	for _, u := range units {
		for _, o := range u.set.Objects {
			if !manifest.Defines(o.Ref) {
				continue
			}
			if err := v.schemas.define(o.JSON); err != nil {
				file, line := v.placeOf(u, o, "")
				v.find(file, line, "%s: %v", o.Ref, err)
			}
		}
	}
}

// objects checks what was rendered against schemas, and returns how many objects there were.
// The same one in several units is checked once.
func (v *validation) objects(units []unit) int {
	checked := map[string]bool{}
	for _, u := range units {
		for _, o := range u.set.Objects {
			id := o.Ref.String() + "\x00" + o.Origin + "\x00" + o.Digest
			if checked[id] {
				continue
			}
			checked[id] = true
			if o.Refused != "" {
				file, line := v.placeOf(u, o, "")
				v.find(file, line, "%s: %s", o.Ref, o.Refused)
			}
			if u.lenient && bytes.Contains(o.JSON, []byte("${")) {
				continue
			}
			problems := v.schemas.check(o)
			if len(problems) == 0 {
				problems = retraining(o)
			}
			for _, p := range problems {
				file, line := v.placeOf(u, o, p.field)
				v.find(file, line, "%s: %s", o.Ref, p.message)
			}
		}
	}
	return len(checked)
}

// retraining says what is wrong with a Retraining that the API server does not see: a schedule, a template or an
// expression, of which the agent would say the same.
func retraining(o agent.Object) []problem {
	if o.Ref.Group != v1alpha1.GroupVersion.Group || o.Ref.Kind != v1alpha1.RetrainingKind {
		return nil
	}
	var r v1alpha1.Retraining
	if err := json.Unmarshal(o.JSON, &r); err != nil {
		return []problem{{"spec", err.Error()}}
	}
	if err := retrain.Check(&r); err != nil {
		return []problem{{"spec", err.Error()}}
	}
	return nil
}

// duplicates reports objects that two Overlays of one cluster have, and Overlays that are
// declared twice.
func (v *validation) duplicates() {
	type key struct {
		group string
		ref   agent.Ref
	}
	owners := map[key]unit{}
	names := map[key]unit{}
	for _, u := range v.overlays {
		me := key{u.declared.group, agent.Ref{Namespace: u.overlay.Namespace, Name: u.overlay.Name}}
		if other, twice := names[me]; twice {
			v.find(u.declared.file, u.declared.line, "%s is declared twice: %s:%d has it too", u.title(), other.declared.file, other.declared.line)
			continue
		}
		names[me] = u
		for _, o := range u.set.Objects {
			k := key{u.declared.group, o.Ref}
			if other, twice := owners[k]; twice {
				file, line := v.placeOf(u, o, "")
				v.find(file, line, "%s belongs to %s and to %s: take it out of one of them", o.Ref, other.title(), u.title())
				continue
			}
			owners[k] = u
		}
	}
}

// placeOf is where an object, or a field of it, is written.
func (v *validation) placeOf(u unit, o agent.Object, field string) (string, int) {
	file := o.Origin
	if file == "" {
		if file = v.survey.kustomizations[path.Clean(u.spec.Path)]; file == "" && u.overlay != nil {
			return u.declared.file, u.declared.line
		}
		return cmp.Or(file, u.spec.Path), 1
	}
	text, err := v.repository.Tree.ReadFile(file)
	if err != nil {
		return file, 1
	}
	return file, fieldLine(text, max(manifest.Line(text, o.Ref), 1), field)
}
