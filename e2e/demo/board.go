package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// board is how the Overlays and the stages of Models stand, as last seen. It prints a line
// whenever one gets into another phase or to another revision or version; how far a rollout is
// would be too much to read.
type board struct {
	began    time.Time // what the times of the lines count from; zero for the time of day
	overlays map[string]*v1alpha1.Overlay
	shown    map[string]string               // what the last line of each Overlay was about
	stages   map[string]v1alpha1.StageStatus // by "model stage"; they may be seen while Overlays are
}

func newBoard() *board {
	return &board{began: time.Now(), overlays: map[string]*v1alpha1.Overlay{}, shown: map[string]string{}, stages: map[string]v1alpha1.StageStatus{}}
}

// restart has the times count from now.
func (b *board) restart() { b.began = time.Now() }

// stamp is when something is seen.
func (b *board) stamp() string {
	if b.began.IsZero() {
		return time.Now().Format(time.TimeOnly)
	}
	return fmt.Sprintf("%7.1fs", time.Since(b.began).Seconds())
}

// see takes in an Overlay.
func (b *board) see(o *v1alpha1.Overlay) {
	b.overlays[o.Name] = o
	c := ready(o)
	if c == nil {
		return // the agent has not looked at it yet
	}
	about := fmt.Sprint(c.Status, c.Reason, o.Status.Revision, o.Status.AttemptedRevision)
	if b.shown[o.Name] == about {
		return
	}
	b.shown[o.Name] = about
	line(b.stamp(), o.Name, phase(c), c.Message)
}

// seeModel takes in a Model.
func (b *board) seeModel(m *v1alpha1.Model) {
	for _, s := range m.Status.Stages {
		name := m.Name + " " + s.Name
		before := b.stages[name]
		b.stages[name] = s
		if aboutStage(s) != aboutStage(before) {
			line(b.stamp(), name, string(s.Phase), s.Message)
		}
		if branch := proposalOf(s); branch != "" && branch != proposalOf(before) {
			line(b.stamp(), name, "Proposed", s.Proposed+" on branch "+branch)
		}
	}
}

// aboutStage is what is worth a line of its own.
func aboutStage(s v1alpha1.StageStatus) string {
	return fmt.Sprint(s.Phase, s.Version, s.Candidate, s.Traffic, gateOf(s.Message))
}

// proposalOf is the branch that proposes a version for a stage, or nothing.
func proposalOf(s v1alpha1.StageStatus) string {
	if s.Proposal == nil || s.Proposal.Commit == "" {
		return ""
	}
	return s.Proposal.Branch
}

// gateOf is the gate that a message is about, or nothing.
func gateOf(message string) string {
	if gate, _, about := strings.Cut(message, ":"); about && strings.HasPrefix(gate, "gate ") {
		return gate
	}
	return ""
}

// allReady tells whether every Overlay is Ready.
func (b *board) allReady() bool { return len(b.overlays) > 0 && len(b.notReady()) == 0 }

// notReady are the names of the Overlays that are not Ready, in order.
func (b *board) notReady() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(b.overlays)) {
		if !isReady(b.overlays[name]) {
			names = append(names, name)
		}
	}
	return names
}

// objects is how many objects all Overlays have together.
func (b *board) objects() int {
	n := 0
	for _, o := range b.overlays {
		n += int(o.Status.Objects.Total)
	}
	return n
}

// String says of every Overlay that is not Ready, and every stage that does not serve what it
// should, why.
func (b *board) String() string {
	var lines []string
	for _, name := range b.notReady() {
		message := "the agent has not looked at it"
		if c := ready(b.overlays[name]); c != nil {
			message = c.Reason + ": " + c.Message
		}
		lines = append(lines, "Overlay "+name+" is not Ready: "+message)
	}
	for _, name := range slices.Sorted(maps.Keys(b.stages)) {
		if s := b.stages[name]; s.Phase != v1alpha1.StageServing {
			lines = append(lines, fmt.Sprintf("%s is %s: %s", name, s.Phase, s.Message))
		}
	}
	return strings.Join(lines, "\n")
}

func ready(o *v1alpha1.Overlay) *metav1.Condition {
	return apimeta.FindStatusCondition(o.Status.Conditions, v1alpha1.ReadyCondition)
}

func isReady(o *v1alpha1.Overlay) bool {
	return apimeta.IsStatusConditionTrue(o.Status.Conditions, v1alpha1.ReadyCondition)
}

// phase is a Ready condition in a word.
func phase(c *metav1.Condition) string {
	switch c.Status {
	case metav1.ConditionTrue:
		return "Ready"
	case metav1.ConditionFalse:
		return "Failed"
	}
	return "Waiting"
}
