// Package forgetest plays one story on a repository of a forge, real or not: what package forge
// promises holds on all of them.
package forgetest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/forge"
)

// Site is a repository on a forge, and what people do there. Forge acts as an account that may write.
type Site struct {
	Forge *forge.Forge
	// Base is a branch with a commit.
	Base string
	// Methods that the repository allows.
	Methods []forge.Method
	// Push makes one more commit on a branch, which begins at Base if it is new, and returns it.
	Push func(t *testing.T, branch string) string
	// Update merges Base into a branch, and Rewrite has the branch begin anew at Base with one commit,
	// by a forced push. Both return what the branch is at then.
	Update, Rewrite func(t *testing.T, branch string) string
	// Reviewer is a person who may write; Review has that person approve a commit.
	Reviewer string
	Review   func(t *testing.T, number int, commit string)
	// Comment has that person write a comment, and Comments reads what all have written.
	Comment  func(t *testing.T, number int, body string)
	Comments func(t *testing.T, number int) []string
	// Status reads the latest status of a commit with a context: its state in the words of package
	// forge, and its description.
	Status func(t *testing.T, commit, context string) (forge.State, string)
}

// patience is for forges that do part of their work in the background.
const patience = 2 * time.Minute

// Run plays the story.
func Run(t *testing.T, s Site) {
	for _, method := range s.Methods {
		t.Run(string(method), func(t *testing.T) { s.merged(t, method) })
	}
	t.Run("closed", s.closed)
	t.Run("pushed", s.pushed)
	t.Run("moved", s.moved)
}

// merged is a pull request from its opening to the end of its branch.
func (s Site) merged(t *testing.T, method forge.Method) {
	ctx := t.Context()
	branch := "sluice/" + string(method)
	first := s.Push(t, branch)
	draft := forge.Draft{Base: s.Base, Head: branch, Title: "fraud: v8 to production", Body: "Evidence.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
		Labels: []string{"sluice", "promotion"}, NotReady: true}
	opened, err := s.Forge.Open(ctx, draft)
	if err != nil {
		t.Fatal(err)
	}
	self, err := s.Forge.Self(ctx)
	if err != nil {
		t.Fatal(err)
	}
	n := opened.Number
	have := s.pull(t, n)
	slices.Sort(have.Labels)
	if n == 0 || have.Title != draft.Title || strings.TrimSpace(have.Body) != strings.TrimSpace(draft.Body) || have.Author != self || !have.Draft || !have.Open || have.Merged ||
		have.MergeCommit != "" || have.Base.Name != s.Base || have.Head.Name != branch || have.Head.Commit != first || have.Head.Fork != "" ||
		!slices.Equal(have.Labels, []string{"promotion", "sluice"}) || !strings.Contains(have.URL, "://") || have.Updated.IsZero() {
		t.Fatalf("opened %+v", have)
	}
	if again, err := s.Forge.Open(ctx, draft); err != nil || again.Number != n {
		t.Fatalf("opened again: %+v, %v", again, err)
	}
	s.listed(t, n, true)

	draft.NotReady, draft.Title, draft.Body = false, "fraud: v8 to production, ready", "All gates hold."
	for range 2 {
		if err := s.Forge.Edit(ctx, n, draft); err != nil {
			t.Fatal(err)
		}
	}
	if have := s.pull(t, n); have.Draft || have.Title != draft.Title || strings.TrimSpace(have.Body) != draft.Body || len(have.Labels) != 2 {
		t.Fatalf("edited %+v", have)
	}

	s.statuses(t, first)
	s.comments(t, n)

	s.Review(t, n, first)
	s.reviewed(t, n, first)

	second := s.Push(t, branch)
	s.eventually(t, "the head is the second commit", func() bool { return s.pull(t, n).Head.Commit == second })
	s.reviewed(t, n, first)
	wantKind(t, "a merge of the first commit", s.Forge.Merge(ctx, n, first, method), forge.Conflict)
	s.merge(t, n, second, method)
	if err := s.Forge.Merge(ctx, n, second, method); err != nil {
		t.Errorf("merged again: %v", err)
	}
	wantKind(t, "it has been merged, with another head", s.Forge.Merge(ctx, n, first, method), forge.Conflict)
	have = s.pull(t, n)
	if !have.Merged || have.Open || have.MergeCommit == "" || have.Head.Commit != second {
		t.Fatalf("merged %+v", have)
	}
	of, err := s.Forge.PullOf(ctx, s.Base, have.MergeCommit)
	if err != nil || of.Number != n || of.MergeCommit != have.MergeCommit || of.Head.Commit != second {
		t.Errorf("of commit %s: %+v, %v", have.MergeCommit, of, err)
	}
	_, err = s.Forge.PullOf(ctx, "another", have.MergeCommit)
	wantKind(t, "of a commit on another branch", err, forge.NotFound)
	s.listed(t, n, false)
	wantKind(t, "a merged one is closed", s.Forge.Close(ctx, n), forge.Conflict)

	wantKind(t, "the branch is deleted at its first commit", s.Forge.DeleteBranch(ctx, branch, first), forge.Conflict)
	for range 2 {
		if err := s.Forge.DeleteBranch(ctx, branch, second); err != nil {
			t.Fatal(err)
		}
	}
	if have := s.pull(t, n); !have.Merged || have.Head.Commit != second || have.Head.Name != branch || have.Head.Fork != "" {
		t.Errorf("without its branch: %+v", have)
	}
}

// closed is one that nobody merges.
func (s Site) closed(t *testing.T) {
	ctx := t.Context()
	s.Push(t, "sluice/closed")
	draft := forge.Draft{Base: s.Base, Head: "sluice/closed", Title: "fraud: v9 to production", Body: "No."}
	opened, err := s.Forge.Open(ctx, draft)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Forge.Close(ctx, opened.Number); err != nil {
			t.Fatal(err)
		}
	}
	s.listed(t, opened.Number, false)
	if have := s.pull(t, opened.Number); have.Open || have.Merged || have.MergeCommit != "" {
		t.Errorf("closed: %+v", have)
	}
	wantKind(t, "a closed one is edited", s.Forge.Edit(ctx, opened.Number, draft), forge.Conflict)
	wantKind(t, "a closed one is merged", s.Forge.Merge(ctx, opened.Number, opened.Head.Commit, s.Methods[0]), forge.Conflict)
	if again, err := s.Forge.Open(ctx, draft); err != nil || again.Number == opened.Number || !again.Open {
		t.Errorf("opened again: %+v, %v", again, err)
	}
	_, err = s.Forge.Pull(ctx, 987654)
	wantKind(t, "one that is not there", err, forge.NotFound)
	_, err = s.Forge.Open(ctx, forge.Draft{Base: s.Base, Head: "sluice/not-there", Title: "x"})
	if err == nil {
		t.Error("one is opened from a branch that is not there")
	}
}

// pushed is a commit without a pull request.
func (s Site) pushed(t *testing.T) {
	_, err := s.Forge.PullOf(t.Context(), s.Base, s.Push(t, s.Base))
	wantKind(t, "of a commit that was pushed", err, forge.NotFound)
}

// moved is one whose head and base go on: what they have in common is right at every moment.
func (s Site) moved(t *testing.T) {
	ctx, branch := t.Context(), "sluice/moved"
	base := s.Push(t, s.Base)
	head := s.Push(t, branch)
	opened, err := s.Forge.Open(ctx, forge.Draft{Base: s.Base, Head: branch, Title: "fraud: v9 to staging"})
	if err != nil {
		t.Fatal(err)
	}
	check := func(what, want string) {
		t.Helper()
		var now forge.Pull
		s.eventually(t, what, func() bool { now = s.pull(t, opened.Number); return now.Head.Commit == head })
		if have, err := s.Forge.MergeBase(ctx, now); err != nil || have != want {
			t.Errorf("%s: the merge base is %q, want %s; %v", what, have, want, err)
		}
	}
	check("opened", base)
	newer := s.Push(t, s.Base)
	check("the base has moved", base)
	head = s.Push(t, branch)
	check("the head has moved", base)
	head = s.Update(t, branch)
	check("the base was merged into it", newer)
	s.Push(t, s.Base)
	newest := s.Push(t, s.Base)
	check("the base has moved again", newer)
	head = s.Rewrite(t, branch)
	check("it was rewritten", newest)
	if err := s.Forge.Close(ctx, opened.Number); err != nil {
		t.Error(err)
	}
}

func (s Site) statuses(t *testing.T, commit string) {
	t.Helper()
	long := strings.Repeat("ü", 1000)
	for _, step := range []forge.Status{
		{Context: "sluice/plan", State: forge.Pending, Description: "The plan is being made."},
		{Context: "sluice/plan", State: forge.Pending, Description: "The plan is being made."},
		{Context: "sluice/plan", State: forge.Failure, Description: "1 violation: " + long, URL: "https://sluice.example.com/"},
		{Context: "sluice/plan", State: forge.Success, Description: "2 overlays, 3 objects change."},
	} {
		if err := s.Forge.SetStatus(t.Context(), commit, step); err != nil {
			t.Fatal(err)
		}
		state, description := s.Status(t, commit, step.Context)
		description = strings.TrimSuffix(description, "…")
		if state != step.State || description == "" || !strings.HasPrefix(step.Description, description) {
			t.Errorf("status is %s %q, want %s %q", state, description, step.State, step.Description)
		}
	}
}

func (s Site) comments(t *testing.T, number int) {
	t.Helper()
	s.Comment(t, number, "<!-- sluice:plan -->\nNothing to see here.")
	for _, body := range []string{"Plan of **one**.", "Plan of **two**.\n\n- a\n- b\n", "Plan of **two**.\n\n- a\n- b\n"} {
		if err := s.Forge.Comment(t.Context(), number, "plan", body); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Forge.Comment(t.Context(), number, "report", "Live."); err != nil {
		t.Fatal(err)
	}
	have := s.Comments(t, number)
	for i := range have {
		have[i] = strings.TrimSpace(strings.ReplaceAll(have[i], "\r\n", "\n"))
	}
	want := []string{
		"<!-- sluice:plan -->\nNothing to see here.",
		"<!-- sluice:plan -->\nPlan of **two**.\n\n- a\n- b",
		"<!-- sluice:report -->\nLive.",
	}
	if !slices.Equal(have, want) {
		t.Errorf("comments are %q, want %q", have, want)
	}
}

func (s Site) reviewed(t *testing.T, number int, commit string) {
	t.Helper()
	reviews, err := s.Forge.Reviews(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	if len(reviews) != 1 || reviews[0].Author != s.Reviewer || !reviews[0].Approved || !reviews[0].Official || reviews[0].Commit != commit || reviews[0].At.IsZero() {
		t.Errorf("reviews are %+v, want one of %s of %s", reviews, s.Reviewer, commit)
	}
}

func (s Site) listed(t *testing.T, number int, want bool) {
	t.Helper()
	pulls, err := s.Forge.Pulls(t.Context(), s.Base)
	if err != nil {
		t.Fatal(err)
	}
	have := slices.ContainsFunc(pulls, func(p forge.Pull) bool { return p.Number == number && p.Open && p.Base.Name == s.Base })
	if have != want {
		t.Errorf("pull request %d is listed: %v, want %v, in %+v", number, have, want, pulls)
	}
}

func (s Site) pull(t *testing.T, number int) forge.Pull {
	t.Helper()
	p, err := s.Forge.Pull(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// merge merges as soon as the forge has found that it can.
func (s Site) merge(t *testing.T, number int, commit string, method forge.Method) {
	t.Helper()
	s.eventually(t, "it can be merged", func() bool {
		err := s.Forge.Merge(t.Context(), number, commit, method)
		if e, ok := err.(*forge.Error); ok && e.Kind.Temporary() {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		return true
	})
}

func (s Site) eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s for %v", what, patience)
		}
	}
}

func wantKind(t *testing.T, what string, err error, want forge.Kind) {
	t.Helper()
	if e, ok := err.(*forge.Error); !ok || e.Kind != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}
