package fill

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// dot is what templates see of the values.
type dot struct {
	Slot        moment
	Run         string
	Attempt     int32
	LastSuccess moment
	Model       string
	Data        *seen
	Revision    string

	versions map[string]string
}

// seen is what templates see of the data.
type seen struct {
	Fingerprint string
	Count       int64
	Newest      moment
}

func dotOf(v Values) dot {
	return dot{
		Slot: moment{v.Slot}, Run: v.Run, Attempt: v.Attempt, LastSuccess: in(v.LastSuccess, v.Slot.Location()),
		Model: v.Model, Data: seenOf(v.Data, v.Slot.Location()), Revision: v.Revision, versions: v.Versions,
	}
}

// Version is the one that serves in a stage.
func (d dot) Version(stage string) (string, error) {
	if version := d.versions[stage]; version != "" {
		return version, nil
	}
	stages := strings.Join(slices.Sorted(maps.Keys(d.versions)), ", ")
	if stages == "" {
		stages = "none"
	}
	return "", fmt.Errorf("nothing serves in a stage %s; stages with a version: %s", quoted(stage), cut(stages, 120))
}

// seenOf is nil where there is nothing: {{ with .Data }} is for that.
func seenOf(d *Data, zone *time.Location) *seen {
	if d == nil {
		return nil
	}
	return &seen{d.Fingerprint, d.Count, in(d.Newest, zone)}
}

// moment is a time with the methods that templates may use. None of them gives a long text.
type moment struct{ time time.Time }

func in(t time.Time, zone *time.Location) moment {
	if t.IsZero() {
		return moment{}
	}
	return moment{t.In(zone)}
}

// String is empty for no time.
func (m moment) String() string { return m.format(time.RFC3339) }

// Format is empty for no time, so that the very first run, before which none succeeded, can begin.
func (m moment) Format(layout string) (string, error) {
	const longest = 256
	if len(layout) > longest {
		return "", fmt.Errorf("the layout of a time is longer than %d bytes", longest)
	}
	return m.format(layout), nil
}

func (m moment) format(layout string) string {
	if m.time.IsZero() {
		return ""
	}
	return m.time.Format(layout)
}

// UTC is the same time in UTC.
func (m moment) UTC() moment { return moment{m.time.UTC()} }

// Add adds a duration such as -24h.
func (m moment) Add(duration string) (moment, error) {
	d, err := time.ParseDuration(duration)
	if err != nil {
		return m, fmt.Errorf("%s is no duration: write for instance \"-24h\"", quoted(duration))
	}
	if m.time.IsZero() {
		return m, nil
	}
	return moment{m.time.Add(d)}, nil
}

// Unix is in seconds since 1970.
func (m moment) Unix() int64 { return m.time.Unix() }

// IsZero tells whether there is no time.
func (m moment) IsZero() bool { return m.time.IsZero() }
