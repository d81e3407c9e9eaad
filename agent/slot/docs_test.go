package slot

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the table of docs/schedules.md again")

const page = "../../docs/schedules.md"

// The table of every policy in the documentation is that of TestPolicies, word by word.
func TestDocsOfPolicies(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := policyTable(t)
	head, _, _ := strings.Cut(want, "\n")
	start := strings.Index(string(text), head)
	if start < 0 {
		t.Fatalf("%s has no table that begins with\n%s", page, head)
	}
	size := strings.Index(string(text[start:]), "\n\n") + 1
	if size == 0 {
		size = len(text) - start
	}
	got := string(text[start : start+size])
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("%s has another table than TestPolicies: go test ./agent/slot -run TestDocsOfPolicies -update writes it\n%s", page, want)
	}
	if err := os.WriteFile(page, slices.Concat(text[:start], []byte(want), text[start+size:]), 0o644); err != nil {
		t.Fatal(err)
	}
}

// policyTable has a line for each situation, or several where the outcome depends on concurrencyPolicy.
func policyTable(t *testing.T) string {
	var table strings.Builder
	table.WriteString("| situation | on record | at | concurrencyPolicy | missed: Skip | missed: Latest | missed: All |\n")
	table.WriteString("| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, s := range situations(t) {
		before := []string{s.name, onRecord(s.facts(t, forbid, skip)), s.now}
		for _, l := range s.lines() {
			fmt.Fprintf(&table, "| %s |\n", strings.Join(append(before, l...), " | "))
			before = []string{"", "", ""}
		}
	}
	return table.String()
}

// lines are the outcomes: the policies for which they are the same, and one for each of Skip, Latest and All.
func (s situation) lines() [][]string {
	var lines [][]string
	for _, concurrency := range []v1alpha1.ConcurrencyPolicy{forbid, allow, replace} {
		line := []string{string(concurrency)}
		for _, missed := range []v1alpha1.MissedPolicy{skip, latest, all} {
			told, listed := outcome(s.want, string(concurrency), string(missed))
			if !listed {
				told = "–"
			}
			line = append(line, readable(told))
		}
		same := slices.IndexFunc(lines, func(other []string) bool { return slices.Equal(other[1:], line[1:]) })
		if same < 0 {
			lines = append(lines, line)
			continue
		}
		lines[same][0] += ", " + line[0]
	}
	if len(lines) == 1 {
		lines[0][0] = "any"
	}
	return lines
}

// onRecord says what there is before the decision: runs, and slots that wait.
func onRecord(f Facts) string {
	var words []string
	for _, run := range f.Runs {
		words = append(words, fmt.Sprintf("%s %s", run.Spec.Slot.Format("15:04"), run.Status.Phase))
	}
	for _, slot := range f.Retraining.Status.Waiting {
		words = append(words, slot.Format("15:04")+" waits")
	}
	return strings.Join(words, ", ")
}

var runOfSlot = regexp.MustCompile(`\b(\d\d)(\d\d) canceled`)

// readable names a run that is canceled by its slot, as all others are.
func readable(told string) string { return runOfSlot.ReplaceAllString(told, "$1:$2 canceled") }
