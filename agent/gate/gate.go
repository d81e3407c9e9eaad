package gate

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/analysis"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/expression"
	"github.com/sluice-dev/sluice/agent/schedule"
)

// longest is how many characters of a message a finding may hold, and some.
const longest = 1000

// Check judges all gates. Next is the soonest time at which one that waits may change by the time
// alone, and zero if none may.
func Check(gates []Required, e Evidence, now time.Time) (findings []v1alpha1.Finding, next time.Time) {
	findings = make([]v1alpha1.Finding, 0, len(gates))
	c := check{Evidence: e, now: now}
	for _, gate := range gates {
		r := c.ruling(gate)
		findings = append(findings, v1alpha1.Finding{Gate: gate.Name, Policy: gate.Policy, Result: r.result, Message: expression.Printable(r.message, longest)})
		if !r.again.IsZero() && (next.IsZero() || r.again.Before(next)) {
			next = r.again
		}
	}
	return findings, next
}

// Validate says what is wrong with a gate that no evidence can make good.
func Validate(g v1alpha1.Gate) error {
	switch kind, err := kindOf(g); kind {
	case "cel":
		_, err := language().Compile(g.CEL)
		return err
	case "soak":
		return validateSoak(*g.Soak)
	case "window":
		_, err := schedule.ParseWindow(*g.Window)
		return err
	case "freeze":
		_, err := schedule.ParseWindow(*g.Freeze)
		return err
	case "approval":
		return validateApproval(*g.Approval)
	case "analysis":
		return analysis.Validate(*g.Analysis)
	default:
		return err
	}
}

// kindOf is the one kind that a gate has.
func kindOf(g v1alpha1.Gate) (string, error) {
	var kinds []string
	for _, k := range []struct {
		name  string
		given bool
	}{
		{"cel", g.CEL != ""}, {"soak", g.Soak != nil}, {"window", g.Window != nil},
		{"freeze", g.Freeze != nil}, {"approval", g.Approval != nil}, {"analysis", g.Analysis != nil},
	} {
		if k.given {
			kinds = append(kinds, k.name)
		}
	}
	switch len(kinds) {
	case 0:
		return "", errors.New("the gate says nothing: give it one of cel, soak, window, freeze, approval and analysis")
	case 1:
		return kinds[0], nil
	}
	return "", fmt.Errorf("the gate has %s, and may have one kind only: make several gates of it", strings.Join(kinds, " and "))
}

// check is one look at all gates.
type check struct {
	Evidence
	now time.Time
}

// ruling is what one gate came to.
type ruling struct {
	result  v1alpha1.FindingResult
	message string
	again   time.Time // when one that waits may change by the time alone
}

func passed(format string, args ...any) ruling {
	return ruling{result: v1alpha1.FindingPassed, message: fmt.Sprintf(format, args...)}
}

func failed(format string, args ...any) ruling {
	return ruling{result: v1alpha1.FindingFailed, message: fmt.Sprintf(format, args...)}
}

func waiting(again time.Time, format string, args ...any) ruling {
	return ruling{v1alpha1.FindingWaiting, fmt.Sprintf(format, args...), again}
}

func (c check) ruling(g Required) ruling {
	switch kind, err := kindOf(g.Gate); kind {
	case "cel":
		return c.cel(g.CEL)
	case "soak":
		return c.soak(*g.Soak)
	case "window":
		return c.window(*g.Window)
	case "freeze":
		return c.freeze(*g.Freeze)
	case "approval":
		return c.approval(*g.Approval, c.Approvals[g.Key()])
	case "analysis":
		return c.analysis(*g.Analysis, c.Analyses[g.Key()])
	default:
		return failed("%v", err)
	}
}

func validateSoak(s v1alpha1.SoakGate) error {
	switch {
	case s.Stage == "":
		return errors.New("soak.stage is empty: name the stage in which the version has to serve before")
	case s.Duration.Duration < 0:
		return fmt.Errorf("soak.duration is %s, and no time is less than none: write for instance 30m", s.Duration.Duration)
	}
	return nil
}

func (c check) soak(s v1alpha1.SoakGate) ruling {
	if err := validateSoak(s); err != nil {
		return failed("%v", err)
	}
	serving, known := c.Stages[s.Stage]
	version, needed := c.Candidate.Name, s.Duration.Duration
	switch {
	case s.Stage == c.Stage:
		return failed("the gate has %s serve in %s before it may serve in %s: name an earlier stage in soak.stage", version, s.Stage, c.Stage)
	case !known:
		return failed("%s has no stage %s: name one that it has in soak.stage", c.Model, s.Stage)
	case serving.Version == "":
		return waiting(time.Time{}, "%s does not serve in %s: nothing does", version, s.Stage)
	case serving.Version != version:
		return waiting(time.Time{}, "%s does not serve in %s: %s does", version, s.Stage, serving.Version)
	case serving.Since.IsZero():
		return waiting(time.Time{}, "%s does not have all traffic in %s yet, where it has to serve for %s", version, s.Stage, expression.Span(needed))
	}
	served := max(c.now.Sub(serving.Since), 0)
	span := expression.Span(served.Truncate(time.Second))
	if served < needed {
		return waiting(serving.Since.Add(needed), "%s has served in %s for %s of %s", version, s.Stage, span, expression.Span(needed))
	}
	return passed("%s has served in %s for %s, and %s is needed", version, s.Stage, span, expression.Span(needed))
}

func (c check) window(w v1alpha1.Window) ruling {
	window, err := schedule.ParseWindow(w)
	if err != nil {
		return failed("%v", err)
	}
	switch state := window.State(c.now); {
	case state.Open && state.More:
		return passed("the window is open until %s at least", stamp(state.Until))
	case state.Open:
		return passed("the window is open until %s", stamp(state.Until))
	default:
		return waiting(state.Until, "the window opens on %s", stamp(state.Until))
	}
}

func (c check) freeze(w v1alpha1.Window) ruling {
	window, err := schedule.ParseWindow(w)
	if err != nil {
		return failed("%v", err)
	}
	switch state := window.State(c.now); {
	case state.Open && state.More:
		return waiting(state.Until, "nothing may begin before %s at least, for one freeze follows on another", stamp(state.Until))
	case state.Open:
		return waiting(state.Until, "nothing may begin before %s, when the freeze ends", stamp(state.Until))
	default:
		return passed("there is no freeze before %s", stamp(state.Until))
	}
}

// stamp is a time for people, in the zone it is in.
func stamp(t time.Time) string {
	layout := "Mon 2006-01-02 15:04"
	if t.Second() != 0 {
		layout += ":05"
	}
	return t.Format(layout) + " " + t.Location().String()
}

func validateApproval(a v1alpha1.ApprovalGate) error {
	switch {
	case a.Minimum < 0:
		return fmt.Errorf("approval.minimum is %d: set it to 1", a.Minimum)
	case a.Reviews != nil && a.KeysSecretRef != nil:
		return errors.New("approval has keysSecretRef and reviews, and may have one of them only: make two gates of it")
	case a.Reviews != nil:
		return validateReviews(*a.Reviews)
	case a.KeysSecretRef == nil:
		return errors.New("approval says nothing: give it reviews, or keysSecretRef with the public keys of those who may approve")
	case a.KeysSecretRef.Name == "":
		return errors.New("approval.keysSecretRef names no Secret: name the one that has the public keys of those who may approve")
	case a.Minimum > 1:
		return fmt.Errorf("%d approvals are asked for, and a commit has one signature: set approval.minimum to 1, or ask for reviews", a.Minimum)
	}
	return nil
}

// validateReviews says which name nobody can have. An empty list lets everybody approve, and a list of
// nobody must not come to the same.
func validateReviews(r v1alpha1.ReviewApproval) error {
	if slices.Contains(r.Users, "") {
		return errors.New("approval.reviews.users has an empty name: write a name, or leave the list out")
	}
	for _, team := range r.Teams {
		if before, after, _ := strings.Cut(team, "/"); before == "" || after == "" && strings.Contains(team, "/") {
			return fmt.Errorf("approval.reviews.teams has %q, which is no name of a team: write organization/team, or a group with its parents on GitLab", team)
		}
	}
	return nil
}

func (c check) approval(a v1alpha1.ApprovalGate, found Approval) ruling {
	if err := validateApproval(a); err != nil {
		return failed("%v", err)
	}
	version, commit := c.Candidate.Name, short(cmp.Or(found.Commit, c.Commit))
	switch {
	case commit == "":
		return failed("no commit asks for %s, so that nobody can have approved one: manage %s in Git", version, c.Model)
	case found.Reason != "" && found.Waits:
		return waiting(time.Time{}, "it is not known yet who approves commit %s, which asks for %s: %s", commit, version, found.Reason)
	case found.Reason != "":
		return failed("commit %s, which asks for %s, is approved by nobody, for %s", commit, version, found.Reason)
	case a.Reviews != nil:
		return c.reviews(max(int(a.Minimum), 1), found)
	case len(found.By) > 0:
		return passed("commit %s is signed by %s", commit, strings.Join(found.By, ", "))
	}
	return failed("commit %s, which asks for %s, is not signed by a key of Secret %s", commit, version, a.KeysSecretRef.Name)
}

// reviews counts the approvals of a pull request.
func (c check) reviews(minimum int, found Approval) ruling {
	what := fmt.Sprintf("pull request %d, which brought %s, ", found.Pull, c.Candidate.Name)
	names := strings.Join(found.By, ", ")
	switch have := len(found.By); {
	case found.Pull == 0: // nobody has looked
		return waiting(time.Time{}, "it is not known yet which pull request brought %s", c.Candidate.Name)
	case have >= minimum:
		return passed("%sis approved by %s", what, names)
	case have == 0:
		what += fmt.Sprintf("needs %s and has none", approvals(minimum))
	default:
		what += fmt.Sprintf("has %s (%s) of the %d needed", approvals(have), names, minimum)
	}
	return failed("%s", strings.Join(append([]string{what}, found.Others...), "; "))
}

func approvals(n int) string {
	if n == 1 {
		return "1 approval"
	}
	return fmt.Sprintf("%d approvals", n)
}

// short is a commit as people write it.
func short(commit string) string {
	const enough = 7
	if len(commit) > enough {
		return commit[:enough]
	}
	return commit
}

func (c check) analysis(a v1alpha1.Analysis, s v1alpha1.AnalysisStatus) ruling {
	if err := analysis.Validate(a); err != nil {
		return failed("%v", err)
	}
	said := func(otherwise string) string {
		if s.Message != "" {
			return s.Message
		}
		return a.Name + " " + otherwise
	}
	switch s.Result {
	case v1alpha1.AnalysisPassed:
		return passed("%s", said("has passed"))
	case v1alpha1.AnalysisFailed:
		return failed("%s", said("has failed"))
	}
	return waiting(time.Time{}, "%s", said("has not been measured yet"))
}
