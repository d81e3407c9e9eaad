package render

import (
	"fmt"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
)

// Kustomize applies a patch whose target matches nothing to nothing, without a word. What a
// target matches cannot be asked afterwards: it sees names as they were before prefixes and
// hashes, and namespaces as they were before they were replaced. So a patch that leaves a mark goes
// before each patch with a target, and has the same one.

// markAnnotation, with the number of a patch after it, marks what the patch's target matches.
const markAnnotation = "render.sluice.dev/target-"

// marked puts marks before the patches that have a target.
func marked(patches []types.Patch) []types.Patch {
	var list []types.Patch
	for n, p := range patches {
		if p.Target != nil {
			list = append(list, mark(n, p))
		}
		list = append(list, p)
	}
	return list
}

// mark is a patch that marks what another one's target matches.
func mark(n int, p types.Patch) types.Patch {
	const text = "apiVersion: any/v1\nkind: Any\nmetadata:\n  name: any\n  annotations:\n    %s%d: found\n"
	return types.Patch{Target: p.Target, Patch: fmt.Sprintf(text, markAnnotation, n)}
}

// takeMarks takes the marks off all objects and returns the numbers of the patches.
func takeMarks(result resmap.ResMap) (map[int]bool, error) {
	found := map[int]bool{}
	for _, r := range result.Resources() {
		annotations, before := r.GetAnnotations(), len(found)
		left := len(annotations)
		for name := range annotations {
			if number, ours := strings.CutPrefix(name, markAnnotation); ours {
				if n, err := strconv.Atoi(number); err == nil {
					found[n] = true
				}
				delete(annotations, name)
			}
		}
		if left == len(annotations) && before == len(found) {
			continue
		}
		if err := r.SetAnnotations(annotations); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// checkTargets makes sure that every patch of the overlay found something. K is the overlay's
// kustomization without marks.
func (f *files) checkTargets(result resmap.ResMap, spec Spec, k types.Kustomization) error {
	found, err := takeMarks(result)
	if err != nil {
		return f.explain(err, spec)
	}
	for n, p := range k.Patches {
		if p.Target == nil || found[n] {
			continue
		}
		// The patch may have taken the object away, and a later one its annotations.
		before := k
		before.Patches = append(k.Patches[:n:n], mark(n, p))
		unpatched, err := f.run(before)
		if err != nil {
			return f.explain(err, spec)
		}
		if again, err := takeMarks(unpatched); err != nil || !again[n] {
			return invalid("", "spec.patches[%d]: its target matches no object: mend the target, or take the patch out", n)
		}
	}
	return nil
}
