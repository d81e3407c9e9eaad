package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/decimal"
	"github.com/sluice-dev/sluice/agent/expression"
	"github.com/sluice-dev/sluice/agent/plan"
)

func (p *page) modelList(models []Model) {
	for n, m := range models {
		if p.full() {
			return
		}
		switch {
		case m.Trouble != nil: // which is all there is to say
		case n >= p.show.models:
			p.lessModels++
		default:
			p.model(m)
		}
	}
}

func (p *page) model(m Model) {
	p.printf("#### Model %s, %s: %s\n\n", code(m.Name), prose(m.Stage), m.title())
	if m.To.Name != "" {
		p.printf("%s\n\n", m.course())
	}
	p.evidence(m)
}

// evidence is the candidate against what serves now, and what the gates say.
func (p *page) evidence(m Model) {
	if rows := p.comparison(m); len(rows) > 1 {
		p.printf("%s\n", table(rows))
	}
	if len(m.Findings) > 0 && p.show.findings > 0 {
		rows := [][]string{{"gate", "", "why"}}
		for n, f := range m.ranked(p.show.findings) {
			if n == p.show.findings {
				rows = append(rows, []string{fmt.Sprintf("and %d more", len(m.Findings)-n), "", ""})
				break
			}
			rows = append(rows, []string{gateName(f), results[f.Result], prose(f.Message)})
		}
		p.printf("%s\n", table(rows))
	}
}

// ranked is the findings in their order, or, if not all are shown, those first that do not pass.
func (m Model) ranked(most int) []v1alpha1.Finding {
	if len(m.Findings) <= most {
		return m.Findings
	}
	return slices.Concat(m.findings(v1alpha1.FindingFailed), m.findings(v1alpha1.FindingWaiting), m.findings(v1alpha1.FindingPassed))
}

var results = map[v1alpha1.FindingResult]string{
	v1alpha1.FindingPassed: "passes", v1alpha1.FindingFailed: "**fails**", v1alpha1.FindingWaiting: "waits",
}

func gateName(f v1alpha1.Finding) string {
	if f.Policy != "" {
		return prose(f.Gate) + " (policy " + prose(f.Policy) + ")"
	}
	return prose(f.Gate)
}

func (m Model) title() string {
	switch from, to := m.From.Name, m.To.Name; {
	case to == "":
		return code(from) + " stops, and nothing serves"
	case from == "":
		return code(to) + ", the first version"
	case from == to:
		return code(to) + " stays"
	default:
		return code(from) + " → " + code(to)
	}
}

// course is what happens at the merge: gates first, then traffic.
func (m Model) course() string {
	if n := len(m.findings(v1alpha1.FindingFailed)); n > 0 {
		return fmt.Sprintf("At the merge it is held, for %s %s: %s goes on.", count(n, "gate"), verb(n, "fail"), m.serving())
	}
	way := "all traffic at once, when it is ready"
	var steps []string
	for _, s := range m.Canary {
		step := fmt.Sprintf("%d %% of the traffic", s.Traffic)
		if len(steps) > 0 {
			step = fmt.Sprintf("%d %%", s.Traffic)
		}
		if s.Hold.Duration > 0 {
			step += " for " + expression.Span(s.Hold.Duration)
		}
		steps = append(steps, step)
	}
	if len(steps) > 0 {
		way = strings.Join(steps, ", ") + ", then all of it"
	}
	if n := len(m.findings(v1alpha1.FindingWaiting)); n > 0 {
		return fmt.Sprintf("At the merge it waits for %s; then it gets %s.", count(n, "gate"), way)
	}
	return fmt.Sprintf("At the merge it gets %s.", way)
}

// serving is what serves until the merge.
func (m Model) serving() string {
	if m.From.Name == "" {
		return "nothing"
	}
	return code(m.From.Name)
}

// pair tells whether there are two versions to compare.
func (m Model) pair() bool { return m.From.Name != "" && m.To.Name != "" && m.From.Name != m.To.Name }

// comparison is the rows of the candidate against what serves now.
func (p *page) comparison(m Model) [][]string {
	var rows [][]string
	row := func(what, from, to, difference string) {
		if from == "" && to == "" {
			return
		}
		from, to = cmp.Or(from, "-"), cmp.Or(to, "-")
		if m.pair() {
			rows = append(rows, []string{what, from, to, difference})
			return
		}
		rows = append(rows, []string{what, to})
	}
	a, b := m.From, m.To
	if b.Name == "" {
		return nil
	}
	row("", code(cmp.Or(a.Name, "-"))+" now", code(b.Name), "difference")
	names := slices.Sorted(maps.Keys(merged(a.Metrics, b.Metrics)))
	for n, name := range names {
		if n == p.show.metrics {
			row(fmt.Sprintf("and %d more", len(names)-n), "-", "-", "")
			break
		}
		row(code(name), number(a.Metrics[name]), number(b.Metrics[name]), decimal.Growth(a.Metrics[name], b.Metrics[name]))
	}
	row("size", bytes(a.Size), bytes(b.Size), grown(a.Size, b.Size))
	for _, field := range []struct {
		name string
		of   func(Version) string
	}{
		{"digest", func(v Version) string { return v.Digest }},
		{"format", func(v Version) string { return strings.TrimSpace(v.Format.Name + " " + v.Format.Version) }},
		{"run", func(v Version) string { return v.Lineage.Run }},
		{"pipeline", func(v Version) string { return v.Lineage.Pipeline }},
		{"dataset", func(v Version) string { return v.Lineage.Dataset }},
		{"commit", func(v Version) string { return v.Lineage.Commit }},
	} {
		from, to := field.of(a), field.of(b)
		changed := ""
		if from != to {
			changed = "changed"
		}
		row(field.name, brief(from), brief(to), changed)
	}
	row("trained", trained(a.Lineage), trained(b.Lineage), "")
	return rows
}

func merged(a, b map[string]string) map[string]string {
	both := maps.Clone(a)
	if both == nil {
		both = map[string]string{}
	}
	maps.Copy(both, b)
	return both
}

func trained(l v1alpha1.Lineage) string {
	if l.TrainedAt == nil {
		return ""
	}
	return moment(l.TrainedAt.Time)
}

// brief is a text in a cell. Of a digest enough is shown to tell it from others.
func brief(s string) string {
	longest := 60
	if s == "" {
		return ""
	}
	if strings.HasPrefix(s, "sha256:") {
		longest = len("sha256:") + 12
	}
	return span(visible(plan.Masked(s), longest))
}

func number(s string) string {
	if s == "" {
		return ""
	}
	return prose(visible(s, 40))
}

func grown(from, to int64) string {
	if from <= 0 || to <= 0 {
		return ""
	}
	switch d := to - from; {
	case d < 0:
		return "-" + bytes(-d)
	case d > 0:
		return "+" + bytes(d)
	}
	return "0"
}

// bytes is a size for people: 17 B, 1.2 MB.
func bytes(n int64) string {
	if n <= 0 {
		return ""
	}
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	size, units := float64(n)/1000, "kMGTPE"
	for size >= 999.95 {
		size, units = size/1000, units[1:]
	}
	return fmt.Sprintf("%.1f %cB", size, units[0])
}
