package sync

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent"
)

func TestRedactor(t *testing.T) {
	const token, key = `hunter2"secret`, "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\n-----END KEY-----\n"
	r := newRedactor([]string{token, key, "8080"})
	for _, c := range []struct{ in, want string }{
		{"nothing of it", "nothing of it"},
		{"the port 8080 is taken", "the port 8080 is taken"},
		{`Invalid value: "hunter2\"secret": must be a number`, `Invalid value: "` + hidden + `": must be a number`},
		{"it is hunter2\"secret.", "it is " + hidden + "."},
		{"aHVudGVyMiJzZWNyZXQ= is no URL", hidden + " is no URL"},
		{"line 2: MIIEvQIBADANBgkqhkiG", "line 2: " + hidden},
	} {
		if got := r.text(c.in); got != c.want {
			t.Errorf("%s\ngives %s\nwant  %s", c.in, got, c.want)
		}
	}
	said := `refused: "hunter2\"secret"`
	report := r.report(Report{
		Verdict: Verdict{Message: said}, Unhealthy: said,
		Plan: agent.Plan{Violations: []agent.Violation{{Message: said}}, Changes: []agent.Change{{Reason: said, Fields: []agent.Field{{Path: "a", Old: said, New: said}}}}},
		Run:  agent.Run{Outcomes: []agent.Outcome{{Message: said, Note: said}}},
	})
	c := report.Plan.Changes[0]
	for _, told := range []string{report.Verdict.Message, report.Unhealthy, report.Plan.Violations[0].Message, c.Reason, c.Fields[0].Old, c.Fields[0].New,
		report.Run.Outcomes[0].Message, report.Run.Outcomes[0].Note} {
		if strings.Contains(told, "hunter2") {
			t.Errorf("told: %s", told)
		}
	}
	if same := (redactor{}).text(said); same != said {
		t.Errorf("without secrets: %s", same)
	}
}
