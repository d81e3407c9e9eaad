package pull

import (
	"cmp"
	"context"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/forge"
	"github.com/sluice-dev/sluice/agent/proposal"
	"github.com/sluice-dev/sluice/agent/report"
)

// look asks the forge which pull requests are open, if it is time to, and has those met that have
// changed, and all if the branch has.
func (w *work) look(ctx context.Context) (again time.Duration, err error) {
	source, fetched := w.Repositories.Source(w.name())
	if !fetched {
		return 0, nil // the Repository says why; it is looked at here when it has something
	}
	branch, err := BranchOf(w.repo, source.Revision.Name)
	if err != nil {
		return 0, err
	}
	due, rest := w.due()
	if due {
		var open []forge.Pull
		if open, err = w.forge.Pulls(ctx, branch); err != nil {
			return 0, err
		}
		for _, number := range w.take(open) {
			err = cmp.Or(err, w.closed(ctx, number, branch)) // what fails for one is nothing to the others
		}
		rest = every(w.repo)
		w.queue.add(task{w.name(), proposals})
	}
	for _, number := range w.unmet(source.Revision.Commit) {
		w.queue.add(task{w.name(), number})
	}
	return max(rest, time.Millisecond), err
}

// BranchOf is the name of the branch that a Repository follows, by the name of what was fetched for it.
func BranchOf(repo *v1alpha1.Repository, name string) (string, error) {
	branch, is := repo.Branch(name)
	if !is {
		return "", &forge.Error{Kind: forge.Invalid, Message: "spec.ref names no branch, and pull requests are merged into one: name a branch, or remove spec.pullRequests"}
	}
	return branch, nil
}

// due tells whether it is time to ask the forge, and how long it is until then.
func (w *work) due() (due bool, rest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.table
	next := t.looked.Add(every(w.repo))
	_, failed := t.troubles[look]
	if t.looked.IsZero() || t.generation != w.repo.Generation || t.asked != asked(w.repo) || !w.now.Before(next) || failed {
		return true, 0
	}
	return false, next.Sub(w.now)
}

// take keeps what is open, and returns those on record that are open no more.
func (w *work) take(open []forge.Pull) (gone []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.table
	t.looked, t.generation, t.asked = w.now, w.repo.Generation, asked(w.repo)
	t.open = make(map[int]forge.Pull, len(open))
	for _, p := range open {
		t.open[p.Number] = p
	}
	for number, r := range t.records {
		switch _, is := t.open[number]; {
		case is && over(r): // somebody has opened it again
			r.State = ""
			if proposal.IsVersionBranch(r.Branch) {
				r.Branch = "" // the run has had its answer: it is theirs now
			}
			t.records[number] = r
		case !is && !over(r):
			gone = append(gone, number)
		}
	}
	return gone
}

// closed finds out what has become of a pull request that is not open any more.
func (w *work) closed(ctx context.Context, number int, branch string) error {
	p, err := w.forge.Pull(ctx, number)
	if isKind(err, forge.NotFound) {
		w.drop(number) // deleted, or the token may not see it any more
		return nil
	}
	if err != nil {
		return err
	}
	_, _, r := w.known(number)
	switch {
	case p.Base.Name != branch:
		return w.withdrawn(ctx, r, "It goes to another branch now")
	case p.Open: // it was opened again, or hidden by a page
		w.mu.Lock()
		w.table.open[number] = p
		w.mu.Unlock()
		return nil
	case p.Merged:
		return w.merged(ctx, r, p)
	}
	if r.Branch != "" {
		if err := w.declined(ctx, r, p); err != nil {
			return err
		}
	}
	return w.withdrawn(ctx, r, "Closed without a merge")
}

// withdrawn ends the plan of a pull request that is not to be merged.
func (w *work) withdrawn(ctx context.Context, r v1alpha1.PullRequestStatus, reason string) error {
	number := int(r.Number)
	if r.Said != "" {
		if err := w.comment(ctx, number, planComment, report.Withdrawn(w.repo.Spec.PullRequests.Name, r.Head, reason)); err != nil {
			return err
		}
	}
	if _, _, now := w.known(number); now.State != v1alpha1.PullRequestDeclined {
		w.drop(number)
	}
	return nil
}

// unmet are the pull requests that there is something to do about, as far as that is seen from here.
func (w *work) unmet(base string) []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	var numbers []int
	for number, p := range w.table.open {
		r := w.table.records[number]
		ignored := r.State == v1alpha1.PullRequestIgnored && !w.repo.Spec.PullRequests.Forks
		if r.Head != p.Head.Commit || r.Base != base && !ignored || r.State == "" {
			numbers = append(numbers, number)
		}
	}
	for number, r := range w.table.records {
		if r.State == v1alpha1.PullRequestMerged {
			numbers = append(numbers, number)
		}
	}
	return numbers
}

// meet does what there is to do about one pull request.
func (w *work) meet(ctx context.Context, number int) error {
	p, open, r := w.known(number)
	switch {
	case open:
		return w.plan(ctx, p, r)
	case r.State == v1alpha1.PullRequestMerged:
		return w.follow(ctx, r)
	}
	return nil
}
