package gitrepo

import (
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
)

// Want says which commit. The first that is set counts, in the order Commit, Name, SemVer,
// Tag, Branch; if none is, it is the branch that the remote's HEAD points at.
type Want struct {
	// Branch is a branch's name. Next to Commit it says where a server that does not give
	// away single commits has to look for it.
	Branch string
	// Tag is a tag's name.
	Tag string
	// SemVer is a range of versions, such as ">=1.2 <2"; the highest tag in it counts.
	SemVer string
	// Name is a full reference name, such as refs/pull/1/head.
	Name string
	// Commit is the full object id of a commit.
	Commit string
}

// target is what a Want means on one remote.
type target struct {
	name string        // becomes the revision's name; next to a commit, the branch to look for it in
	id   plumbing.Hash // what the reference points at: a commit, or an annotated tag
	// advertised is false for a commit that no reference points at. Not every server gives
	// those away.
	advertised bool
}

// pinned returns the targets of wants that all name their commits: those are known without the remote.
func pinned(wants []Want) ([]target, bool) {
	targets := make([]target, len(wants))
	for i, w := range wants {
		if w.Commit == "" {
			return nil, false
		}
		targets[i] = target{name: w.Branch, id: plumbing.NewHash(w.Commit)}
	}
	return targets, true
}

// check refuses what cannot be meant.
func (w Want) check() error {
	if w.Commit != "" && (len(w.Commit) != 40 || !plumbing.IsHash(w.Commit)) {
		return errorf(Invalid, "the commit %q is no full object id; write all 40 hexadecimal digits", printable(w.Commit))
	}
	if w.Commit == "" && w.Name != "" && w.Name != "HEAD" && !strings.HasPrefix(w.Name, "refs/") {
		return errorf(Invalid, "the reference name %q is not complete; write it as refs/heads/… or refs/pull/…", printable(w.Name))
	}
	return nil
}

// resolve looks a Want up in what the remote advertises.
func (w Want) resolve(refs *packp.AdvRefs) (target, error) {
	switch {
	case w.Commit != "":
		id := plumbing.NewHash(w.Commit)
		return target{name: w.Branch, id: id, advertised: isAdvertised(refs, id)}, nil
	case w.Name == "HEAD":
		return head(refs)
	case w.Name != "":
		return lookup(refs, "reference", "refs/", strings.TrimPrefix(w.Name, "refs/"), w.Name)
	case w.SemVer != "":
		return highest(refs, w.SemVer)
	case w.Tag != "":
		return lookup(refs, "tag", "refs/tags/", w.Tag, w.Tag)
	case w.Branch != "":
		return lookup(refs, "branch", "refs/heads/", w.Branch, w.Branch)
	}
	return head(refs)
}

func isAdvertised(refs *packp.AdvRefs, id plumbing.Hash) bool {
	for _, h := range refs.References {
		if h == id {
			return true
		}
	}
	return false
}

// lookup finds a reference, or says which others there are.
func lookup(refs *packp.AdvRefs, what, prefix, short, name string) (target, error) {
	if id, ok := refs.References[prefix+short]; ok {
		return target{name: name, id: id, advertised: true}, nil
	}
	return target{}, errorf(ReferenceNotFound, "%s %q does not exist on the remote (it has: %s); push it, or correct the reference",
		what, printable(name), few(shortNames(refs, prefix)))
}

// head finds the branch HEAD points at.
func head(refs *packp.AdvRefs) (target, error) {
	for _, symref := range refs.Capabilities.Get(capability.SymRef) {
		if full, ok := strings.CutPrefix(symref, "HEAD:"); ok {
			if id, ok := refs.References[full]; ok {
				return target{name: strings.TrimPrefix(full, "refs/heads/"), id: id, advertised: true}, nil
			}
		}
	}
	if refs.Head != nil {
		return target{name: "HEAD", id: *refs.Head, advertised: true}, nil
	}
	return target{}, errorf(ReferenceNotFound, "HEAD of the remote points at no branch (it has: %s); name one in the reference",
		few(shortNames(refs, "refs/heads/")))
}

// highest finds the tag with the highest version in a range. Of tags that spell the same
// version (v1.0.0, 1.0.0) it takes the one that sorts last, so that the answer is stable.
func highest(refs *packp.AdvRefs, expression string) (target, error) {
	versions, err := semver.NewConstraint(expression)
	if err != nil {
		return target{}, errorf(Invalid, "the version range %q cannot be read; write it like >=1.2.0 <2.0.0", printable(expression))
	}
	tags := shortNames(refs, "refs/tags/")
	var name string
	var top *semver.Version
	for _, tag := range tags {
		v, err := semver.NewVersion(tag)
		if err == nil && versions.Check(v) && (top == nil || !v.LessThan(top)) {
			name, top = tag, v
		}
	}
	if top == nil {
		return target{}, errorf(ReferenceNotFound, "no tag of the remote is a version in the range %q (it has: %s); push a tag, or widen the range",
			printable(expression), few(tags))
	}
	return target{name: name, id: refs.References["refs/tags/"+name], advertised: true}, nil
}

// shortNames lists the references below a prefix, sorted and without it.
func shortNames(refs *packp.AdvRefs, prefix string) []string {
	var names []string
	for name := range refs.References {
		if short, ok := strings.CutPrefix(name, prefix); ok {
			names = append(names, short)
		}
	}
	slices.Sort(names)
	return names
}

// few lists some names for an error.
func few(names []string) string {
	const enough = 5
	if len(names) == 0 {
		return "none"
	}
	more := ""
	if len(names) > enough {
		more = fmt.Sprintf(" and %d more", len(names)-enough)
		names = names[:enough]
	}
	return printable(strings.Join(names, ", ")) + more
}
