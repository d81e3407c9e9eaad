package forge

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// MaxBody is how long the body of a pull request or a comment may be, in bytes.
func (f *Forge) MaxBody() int { return f.provider.limits().body }

// SetStatus sets the status of a commit. It does not look whether it is set like that already. On
// GitLab, Broken is failed, and the sentence of a pending status stays the first one.
func (f *Forge) SetStatus(ctx context.Context, commit string, s Status) error {
	return f.call(ctx, fmt.Sprintf("set the status %s of commit %s", printable(s.Context), printable(commit)), toStatus, func(ctx context.Context) error {
		if !commitName.MatchString(commit) {
			return errorf(Invalid, "that is no full name of a commit")
		}
		s.Description = line(s.Description, f.provider.limits().description)
		return f.provider.setStatus(ctx, commit, s)
	})
}

// Open makes a pull request, or returns the open one from the same branch to the same: as it is, see
// [Forge.Edit]. An error is Refused if there is nothing to merge, or no such branch. With an error, the
// pull request is one that was made and has not got its labels, if it has a number.
func (f *Forge) Open(ctx context.Context, d Draft) (Pull, error) {
	var p Pull
	err := f.call(ctx, fmt.Sprintf("open a pull request from %s to %s", printable(d.Head), printable(d.Base)), toWrite, func(ctx context.Context) error {
		d, err := f.fit(d)
		if err != nil {
			return err
		}
		made, taken, err := f.provider.open(ctx, d)
		if taken {
			p, err = f.find(ctx, d.Base, d.Head)
			return err
		}
		if err != nil {
			return err
		}
		p = made
		if missing := lacks(p, d); len(missing) > 0 {
			if err := f.provider.addLabels(ctx, p.Number, missing); err != nil {
				return err
			}
			p.Labels = append(p.Labels, missing...)
		}
		return nil
	})
	return p, err
}

// find returns the open pull request between two branches of the repository.
func (f *Forge) find(ctx context.Context, base, head string) (Pull, error) {
	found, err := f.provider.openOf(ctx, base, head)
	if err != nil {
		return Pull{}, err
	}
	i := slices.IndexFunc(found, func(p Pull) bool {
		return p.Open && p.Base.Name == base && p.Head.Name == head && p.Head.Fork == ""
	})
	if i < 0 {
		return Pull{}, errorf(Conflict, "the forge says that there is one, and does not show it: it is tried again")
	}
	return found[i], nil
}

// Edit makes an open pull request as d says: title, body, labels that it lacks, a draft or ready. Base
// and Head are not looked at. If all is so already nothing is written. An error is Conflict if it is not
// open.
func (f *Forge) Edit(ctx context.Context, number int, d Draft) error {
	return f.call(ctx, fmt.Sprintf("edit pull request %d", number), toWrite, func(ctx context.Context) error {
		d, err := f.fit(d)
		if err != nil {
			return err
		}
		have, err := f.pull(ctx, number)
		switch {
		case err != nil:
			return err
		case !have.Open:
			return errorf(Conflict, "it is not open any more: open another")
		}
		if missing := lacks(have, d); len(missing) > 0 {
			if err := f.provider.addLabels(ctx, number, missing); err != nil {
				return err
			}
		}
		if have.Title == d.Title && same(have.Body, d.Body) && have.Draft == d.NotReady {
			return nil
		}
		return f.provider.edit(ctx, have, d)
	})
}

// Close closes a pull request without a merge. It may be closed already; an error is Conflict if it has
// been merged.
func (f *Forge) Close(ctx context.Context, number int) error {
	return f.call(ctx, fmt.Sprintf("close pull request %d", number), toWrite, func(ctx context.Context) error {
		have, err := f.pull(ctx, number)
		switch {
		case err != nil:
			return err
		case have.Merged:
			return errorf(Conflict, "it has been merged: revert it if it should not have been")
		case !have.Open:
			return nil
		}
		return f.provider.close(ctx, number)
	})
}

// Merge merges a pull request if its head still is a commit; Pull then says which commit that has made.
// It may be merged already, with that head. An error is Conflict if the head is another, Unavailable if
// the forge is still looking whether it can be merged, and Refused with the forge's sentence if it may
// not be. GitLab merges as the project is set, with or without a squash: Rebase needs fast-forward there.
func (f *Forge) Merge(ctx context.Context, number int, commit string, method Method) error {
	return f.call(ctx, fmt.Sprintf("merge pull request %d", number), toMerge, func(ctx context.Context) error {
		if !commitName.MatchString(commit) {
			return errorf(Invalid, "its head is to be the full name of a commit")
		}
		refused := f.provider.merge(ctx, number, commit, method)
		if refused == nil || isKind(refused, RateLimited) {
			return refused
		}
		// Perhaps it has been merged before, and only the answer was lost.
		switch have, err := f.pull(ctx, number); {
		case err != nil:
			return refused
		case have.Merged && have.Head.Commit == commit:
			return nil
		case have.Head.Commit != commit:
			return errorf(Conflict, "its head is not %.12s any more: look at it again", commit)
		case !have.Open:
			return errorf(Conflict, "it has been closed: open another")
		}
		return refused
	})
}

// DeleteBranch deletes a branch if it still is at a commit. It may be gone. An error is Conflict if it
// is at another commit. The forges have no way to do both at once: what is pushed between the two
// requests is lost.
func (f *Forge) DeleteBranch(ctx context.Context, name, commit string) error {
	return f.call(ctx, "delete the branch "+printable(name), toDelete, func(ctx context.Context) error {
		at, err := f.provider.branch(ctx, name)
		switch {
		case isKind(err, NotFound):
			return nil
		case err != nil:
			return err
		case at != commit:
			return errorf(Conflict, "it is at %.12s and not at %.12s: somebody has pushed to it, so it stays", printable(at), printable(commit))
		}
		if err := f.provider.deleteBranch(ctx, name); !isKind(err, NotFound) {
			return err
		}
		return nil
	})
}

// fit makes a draft fit for the forge.
func (f *Forge) fit(d Draft) (Draft, error) {
	limits := f.provider.limits()
	d.Title = line(d.Title, limits.title)
	switch {
	case d.Title == "":
		return d, errorf(Invalid, "it has no title: give it one")
	case len(d.Body) > limits.body:
		return d, errorf(Invalid, "its body has %d bytes, and the forge takes %d: shorten it", len(d.Body), limits.body)
	}
	return d, nil
}

// lacks returns the labels of d that p does not have.
func lacks(p Pull, d Draft) []string {
	var missing []string
	for _, label := range d.Labels {
		if !slices.Contains(p.Labels, label) && !slices.Contains(missing, label) {
			missing = append(missing, label)
		}
	}
	return missing
}

// line makes one line of a text, cut to a number of characters. Those beyond Latin count twice, as
// Gitea counts them: a title that Gitea cuts again would never be the one that is wanted.
func line(text string, most int) string {
	const ellipsis = "…"
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	fits, width := 0, 0 // what fits together with the ellipsis
	for i, r := range text {
		if width+2 <= most {
			fits = i
		}
		if width++; r > unicode.MaxLatin1 {
			width++
		}
	}
	if width <= most {
		return text
	}
	return text[:fits] + ellipsis
}

// same tells whether two texts are the same but for what forges change of them.
func same(a, b string) bool { return plain(a) == plain(b) }

func plain(text string) string {
	return strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
}
