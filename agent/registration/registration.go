package registration

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/decimal"
	"github.com/sluice-dev/sluice/agent/expression"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Name is that of the ModelVersion, which is more strict than that of a version.
func Name(model, version string) string {
	return strings.ReplaceAll(strings.ToLower(model+"-"+version), "_", "-")
}

// What the API server takes, as the types of the API have it.
var (
	modelName   = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	versionName = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$`)
	digest      = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

const (
	longestModel   = 48
	longestVersion = 63
	longestMetric  = 64
	mostMetrics    = 128
)

// CheckModel says what is wrong with the name of a model. Its error goes on with a sentence whose subject is
// the name.
func CheckModel(name string) error {
	if !modelName.MatchString(name) || len(name) > longestModel {
		return fmt.Errorf("is no name of a Model: use at most %d lower-case letters, digits and dashes", longestModel)
	}
	return nil
}

// CheckVersion says what is wrong with the name of a version of a model, likewise.
func CheckVersion(model, version string) error {
	if !versionName.MatchString(version) || len(version) > longestVersion {
		return fmt.Errorf("is no name of a version: use at most %d letters, digits, dashes, dots and underscores", longestVersion)
	}
	if name := Name(model, version); len(validation.IsDNS1123Subdomain(name)) > 0 {
		return fmt.Errorf("is no name of a version, for no object can be named %s: put letters and digits between dots, and no dash beside one", name)
	}
	return nil
}

// Metrics are metrics as they are registered: texts that are decimals, exactly as they are written.
func Metrics(texts map[string]string) (map[string]v1alpha1.Metric, error) {
	metrics := map[string]v1alpha1.Metric{}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		value := texts[name]
		if _, err := decimal.Parse(value); err != nil {
			return nil, fmt.Errorf("the metric %s %w: write it as 0.941", expression.Printable(name, longestMetric), err)
		}
		if len(value) > longestMetric {
			return nil, fmt.Errorf("the metric %s has %d characters: write it in at most %d", expression.Printable(name, longestMetric), len(value), longestMetric)
		}
		if name == "" || name != expression.Printable(name, 63) {
			return nil, fmt.Errorf("a metric is named %q: name it in at most 63 letters, such as auc", expression.Printable(name, longestMetric))
		}
		metrics[name] = v1alpha1.Metric(value)
	}
	if len(metrics) > mostMetrics {
		return nil, fmt.Errorf("there are %d metrics: a ModelVersion holds at most %d", len(metrics), mostMetrics)
	}
	return metrics, nil
}

// Check says what the API server would refuse of a ModelVersion. Whether its URI is one is for package
// artifact to say.
func Check(spec v1alpha1.ModelVersionSpec) error {
	if err := CheckModel(spec.Model); err != nil {
		return fmt.Errorf("%q %w", expression.Printable(spec.Model, 80), err)
	}
	if err := CheckVersion(spec.Model, spec.Version); err != nil {
		return fmt.Errorf("%q %w", expression.Printable(spec.Version, 80), err)
	}
	switch a := spec.Artifact; {
	case a.URI == "":
		return errors.New("there is no URI of the artifact: give one such as s3://models/fraud/v8/")
	case a.Digest != "" && !digest.MatchString(a.Digest):
		return fmt.Errorf("the digest is %q: write sha256: and 64 hexadecimal digits in lower case, as sluice model digest prints it", expression.Printable(a.Digest, 80))
	case a.Size != nil && *a.Size < 0:
		return fmt.Errorf("the size is %d: write how many bytes it has", *a.Size)
	}
	if _, err := Metrics(spec.MetricTexts()); err != nil {
		return err
	}
	for _, field := range []struct {
		name, value string
		longest     int
	}{
		{"format.name", spec.Format.Name, 63}, {"format.version", spec.Format.Version, 63},
		{"lineage.run", spec.Lineage.Run, 253}, {"lineage.pipeline", spec.Lineage.Pipeline, 253},
		{"lineage.dataset", spec.Lineage.Dataset, 2048}, {"lineage.commit", spec.Lineage.Commit, 253},
	} {
		if !utf8.ValidString(field.value) || strings.ContainsFunc(field.value, unicode.IsControl) {
			return fmt.Errorf("%s has control characters or is not UTF-8: write it in one line", field.name)
		}
		if n := utf8.RuneCountInString(field.value); n > field.longest {
			return fmt.Errorf("%s has %d characters: write it in at most %d", field.name, n, field.longest)
		}
	}
	return nil
}
