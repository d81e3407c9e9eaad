package result

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/sluice-dev/sluice/agent/expression"
	"github.com/sluice-dev/sluice/agent/registration"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Document is what a run says that it has made. Nothing of it has been looked at.
type Document struct {
	Model   string
	Version string
	// URI of the artifact, Digest and Size: empty and nil where they are not given.
	URI    string
	Digest string
	Size   *int64
	Format v1alpha1.ModelFormat
	// Metrics are decimals as they were written.
	Metrics map[string]v1alpha1.Metric
	// Lineage is pipeline, dataset, commit and the time of the training.
	Lineage v1alpha1.Lineage
}

const (
	// largest is how long a document may be, in bytes.
	largest = 1 << 20
	// deepest is how deep objects may be within each other, and widest how many fields one may have: more
	// than a document needs.
	deepest = 8
	widest  = 256
)

// Parse reads a document.
func Parse(content []byte) (Document, error) {
	var d Document
	if len(content) > largest {
		return d, fmt.Errorf("it has more than %d bytes: keep it short", largest)
	}
	v, err := read(content)
	if err != nil {
		return d, err
	}
	metrics := map[string]string{}
	err = v.fields("", []field{
		{"model", text(&d.Model)}, {"version", text(&d.Version)},
		{"uri", text(&d.URI)}, {"digest", text(&d.Digest)}, {"size", size(&d.Size)},
		{"format", within([]field{{"name", text(&d.Format.Name)}, {"version", text(&d.Format.Version)}})},
		{"metrics", decimals(metrics)}, {"dataset", text(&d.Lineage.Dataset)},
		{"lineage", within([]field{
			{"pipeline", text(&d.Lineage.Pipeline)}, {"commit", text(&d.Lineage.Commit)}, {"trainedAt", moment(&d.Lineage.TrainedAt)},
		})},
	})
	if err != nil {
		return Document{}, err
	}
	return d.checked(metrics)
}

// checked is a document that has been looked through.
func (d Document) checked(metrics map[string]string) (Document, error) {
	if d.URI == "" {
		return Document{}, errors.New("it has no uri: write where the artifact is, such as s3://models/fraud/v8/")
	}
	if err := artifact.Check(d.URI); err != nil {
		return Document{}, err
	}
	var err error
	d.Metrics, err = registration.Metrics(metrics)
	if err != nil {
		return Document{}, err
	}
	return d, nil
}

// field is a field of an object, and how it is read: with its path, for errors.
type field struct {
	name string
	read func(path string, v value) error
}

// fields reads the fields of an object at a path. What is null counts as not given.
func (v value) fields(path string, known []field) error {
	what := cmp.Or(path, "it")
	if v.kind != object {
		return fmt.Errorf("%s is no object: write fields and their values", what)
	}
	for _, m := range v.members {
		n := slices.IndexFunc(known, func(f field) bool { return f.name == m.name })
		switch {
		case n < 0:
			return fmt.Errorf("%s has a field %s, which is none of %s: correct its name, or leave it out", what, shown(m.name), names(known))
		case m.value.kind == null:
			continue
		}
		if err := known[n].read(strings.TrimPrefix(path+"."+m.name, "."), m.value); err != nil {
			return err
		}
	}
	return nil
}

func names(known []field) string {
	all := make([]string, 0, len(known))
	for _, f := range known {
		all = append(all, f.name)
	}
	return strings.Join(all, ", ")
}

// shown is what somebody else wrote, in an error.
func shown(text string) string { return expression.Printable(text, 80) }

func within(known []field) func(string, value) error {
	return func(path string, v value) error { return v.fields(path, known) }
}

// text takes a number for the text that it is written as: a commit may have digits only.
func text(to *string) func(string, value) error {
	return func(path string, v value) error {
		if v.kind != words && v.kind != number {
			return fmt.Errorf("%s is %s, which is no text: write it in quotes", path, v)
		}
		*to = v.text
		return nil
	}
}

func size(to **int64) func(string, value) error {
	return func(path string, v value) error {
		n, err := strconv.ParseInt(v.text, 10, 64)
		if v.kind != number && v.kind != words || err != nil || n < 0 {
			return fmt.Errorf("%s is %s, which is no number of bytes: write it as 1024", path, v)
		}
		*to = &n
		return nil
	}
}

func moment(to **metav1.Time) func(string, value) error {
	return func(path string, v value) error {
		t, err := time.Parse(time.RFC3339, v.text)
		if v.kind != words || err != nil {
			return fmt.Errorf("%s is %s, which is no time: write it as 2026-01-08T03:41:00Z", path, v)
		}
		*to = &metav1.Time{Time: t.UTC()}
		return nil
	}
}

// decimals are taken as they are written; whether they are decimals is looked at with all of them.
func decimals(to map[string]string) func(string, value) error {
	return func(path string, v value) error {
		if v.kind != object {
			return fmt.Errorf("%s is no object: write names and numbers", path)
		}
		for _, m := range v.members {
			if m.value.kind != number && m.value.kind != words {
				return fmt.Errorf("the metric %s is %s, which is no decimal number: write it as 0.941", shown(m.name), m.value)
			}
			to[m.name] = m.value.text
		}
		return nil
	}
}
