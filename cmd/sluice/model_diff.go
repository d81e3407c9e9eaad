package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/decimal"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func newModelDiffCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff [MODEL] VERSION VERSION",
		Short: "Compare two versions of a Model: metrics, artifact, lineage",
		Long: `Compare two ModelVersions: metrics with their difference, artifact, format and lineage. The Model
need not be named where just one in the namespace has both versions.`,
		Example: `  # Is v8 better than v7?
  sluice model diff fraud v7 v8`,
		Args: usage(cobra.RangeArgs(2, 3), "name two versions: sluice model diff [MODEL] VERSION VERSION"),
	}
	a := reach(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		model := ""
		if len(args) == 3 {
			model, args = args[0], args[1:]
		}
		before, after, err := a.versions(cmd.Context(), model, args[0], args[1])
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		return (&table{out: out, color: colorful(out)}).rows(compare(before, after))
	}
	return cmd
}

// versions reads two versions of a Model, or of the only one that has both.
func (a *access) versions(ctx context.Context, model, before, after string) (*v1alpha1.ModelVersion, *v1alpha1.ModelVersion, error) {
	c, key, err := a.named(model)
	if err != nil {
		return nil, nil, err
	}
	var list v1alpha1.ModelVersionList
	if err := c.List(ctx, &list, client.InNamespace(key.Namespace)); err != nil {
		return nil, nil, explain(err, v1alpha1.ModelVersionKind, client.ObjectKey{})
	}
	found := map[string]map[string]*v1alpha1.ModelVersion{}
	for n := range list.Items {
		v := &list.Items[n]
		if model != "" && v.Spec.Model != model {
			continue
		}
		if found[v.Spec.Model] == nil {
			found[v.Spec.Model] = map[string]*v1alpha1.ModelVersion{}
		}
		found[v.Spec.Model][v.Spec.Version] = v
	}
	var both []string
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if found[name][before] != nil && found[name][after] != nil {
			both = append(both, name)
		}
	}
	switch len(both) {
	case 1:
		return found[both[0]][before], found[both[0]][after], nil
	case 0:
		whose := "no Model"
		if model != "" {
			whose = "Model " + model
			for _, version := range []string{before, after} {
				if found[model][version] == nil {
					return nil, nil, fmt.Errorf("there is no version %s of %s in namespace %s: see what there is with sluice get modelversions", version, whose, key.Namespace)
				}
			}
		}
		return nil, nil, fmt.Errorf("%s in namespace %s has both %s and %s: see what there is with sluice get modelversions", whose, key.Namespace, before, after)
	}
	return nil, nil, fmt.Errorf("%s all have %s and %s: name one, sluice model diff %s %s %s", strings.Join(both, ", "), before, after, both[0], before, after)
}

// compare lists what two versions say of themselves, side by side.
func compare(a, b *v1alpha1.ModelVersion) [][]string {
	rows := [][]string{{"", a.Spec.Version, b.Spec.Version, "DIFFERENCE"}}
	names := map[string]bool{}
	before, after := a.Spec.MetricTexts(), b.Spec.MetricTexts()
	for _, metrics := range []map[string]string{before, after} {
		for name := range metrics {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		rows = append(rows, []string{name, cmp.Or(before[name], "-"), cmp.Or(after[name], "-"), decimal.Growth(before[name], after[name])})
	}
	for _, field := range []struct {
		name string
		of   func(*v1alpha1.ModelVersion) string
	}{
		{"artifact", func(v *v1alpha1.ModelVersion) string { return v.Spec.Artifact.URI }},
		{"digest", func(v *v1alpha1.ModelVersion) string {
			if v.Spec.Artifact.Digest == "" && v.Status.Artifact != nil {
				return v.Status.Artifact.Digest
			}
			return v.Spec.Artifact.Digest
		}},
		{"size", func(v *v1alpha1.ModelVersion) string {
			if v.Status.Artifact == nil {
				return ""
			}
			return fmt.Sprint(v.Status.Artifact.Size)
		}},
		{"format", func(v *v1alpha1.ModelVersion) string {
			return strings.TrimSpace(v.Spec.Format.Name + " " + v.Spec.Format.Version)
		}},
		{"run", func(v *v1alpha1.ModelVersion) string { return v.Spec.Lineage.Run }},
		{"pipeline", func(v *v1alpha1.ModelVersion) string { return v.Spec.Lineage.Pipeline }},
		{"dataset", func(v *v1alpha1.ModelVersion) string { return v.Spec.Lineage.Dataset }},
		{"commit", func(v *v1alpha1.ModelVersion) string { return v.Spec.Lineage.Commit }},
	} {
		before, after := field.of(a), field.of(b)
		if before == "" && after == "" {
			continue
		}
		changed := ""
		if before != after {
			changed = "changed"
		}
		rows = append(rows, []string{field.name, cmp.Or(before, "-"), cmp.Or(after, "-"), changed})
	}
	return rows
}
