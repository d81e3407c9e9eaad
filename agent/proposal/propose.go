package proposal

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"k8s.io/apimachinery/pkg/types"
)

// Proposal is a version that is to serve in a stage.
type Proposal struct {
	Model   types.NamespacedName
	Stage   string
	Version string
	// Reverts is the version that failed and that Version is to come back for; empty for a
	// promotion.
	Reverts string
	// Evidence are sentences for the message of the commit. They are cleaned and cut.
	Evidence []string

	Author gitrepo.Author
	// Time of the commit.
	Time time.Time
	// Replaces is the commit that was proposed before, if one is on record.
	Replaces string
}

// Proposed is what a proposal has become.
type Proposed struct {
	Branch string
	Commit string
	Edit   Edit
}

// Push pushes a commit and returns the one that its branch has then, as gitrepo.Push does.
type Push func(context.Context, gitrepo.Commit) (string, error)

// Propose edits the line on top of a commit, whose files tree has and render renders, and pushes
// the result to a branch of its own. To propose the same again on the same commit changes
// nothing, also with other evidence; on another commit the branch is renewed, if the line can
// still be edited.
func Propose(ctx context.Context, tree agent.Tree, render Render, push Push, base string, p Proposal) (Proposed, error) {
	branch, err := p.branch()
	if err != nil {
		return Proposed{}, err
	}
	edit, err := SetVersion(ctx, tree, render, p.Model, p.Stage, p.Version)
	if err != nil {
		return Proposed{}, err
	}
	if p.Reverts != "" && edit.From != p.Reverts {
		return Proposed{}, errorf(Settled, "Git has %s in the stage %s of the Model %s and no longer %s: there is nothing to take back", orNothing(edit.From), p.Stage, p.Model, p.Reverts)
	}
	commit, err := push(ctx, gitrepo.Commit{
		Base:     base,
		Branch:   branch,
		Topic:    p.topic(edit.Path),
		Message:  p.message(),
		Files:    map[string][]byte{edit.Path: edit.Content},
		Author:   p.Author,
		Time:     p.Time,
		Replaces: p.Replaces,
	})
	if err != nil {
		return Proposed{}, err
	}
	return Proposed{Branch: branch, Commit: commit, Edit: edit}, nil
}

func orNothing(version string) string {
	if version == "" {
		return "nothing"
	}
	return version
}

// branch is named by the version that it is about.
func (p Proposal) branch() (string, error) {
	if p.Reverts != "" {
		return Branch(Revert, p.Model.Name, p.Stage, p.Reverts)
	}
	return Branch(Promote, p.Model.Name, p.Stage, p.Version)
}

// topic is the same for every attempt at this proposal. The file is in it: Models of the same name
// may be in one repository for several clusters, and want the same branch.
func (p Proposal) topic(path string) string {
	what := fmt.Sprintf("promote %s to %s", p.Version, p.Stage)
	if p.Reverts != "" {
		what = fmt.Sprintf("revert %s from %s to %s", p.Stage, p.Reverts, p.Version)
	}
	sum := sha256.Sum256([]byte(path))
	return fmt.Sprintf("%s: %s (file %x)", p.Model, what, sum[:6])
}

// Limits on the evidence in a message.
const (
	mostEvidence    = 64
	longestEvidence = 300 // characters
)

// message says what is proposed, and why.
func (p Proposal) message() string {
	var b strings.Builder
	if p.Reverts != "" {
		fmt.Fprintf(&b, "%s: revert %s from %s to %s\n", p.Model.Name, p.Stage, p.Reverts, p.Version)
	} else {
		fmt.Fprintf(&b, "%s: promote %s to %s\n", p.Model.Name, p.Version, p.Stage)
	}
	evidence(&b, p.Evidence)
	return b.String()
}

// evidence writes the lines of a message that say why.
func evidence(b *strings.Builder, lines []string) {
	for n, line := range lines[:min(len(lines), mostEvidence)] {
		if n == 0 {
			b.WriteString("\n")
		}
		b.WriteString("- " + sentence(line) + "\n")
	}
	if more := len(lines) - mostEvidence; more > 0 {
		fmt.Fprintf(b, "- and %d more\n", more)
	}
}

// sentence makes one line of whatever somebody wrote.
func sentence(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > longestEvidence {
		text = string(runes[:longestEvidence]) + "…"
	}
	return text
}
