package proposal_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/proposal"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"k8s.io/apimachinery/pkg/types"
)

const production = `apiVersion: sluice.dev/v1alpha1
kind: Model
metadata: {name: fraud, namespace: ml}
spec:
  stages:
  - name: production
    version: %s # which serves
`

// forge is a Git server with a repository, and a mirror of it.
type forge struct {
	t      *testing.T
	server *gitserver.Server
	repo   *gitserver.Repo
	mirror string
	base   string
}

func newForge(t *testing.T) *forge {
	t.Helper()
	server, err := gitserver.Start(gitserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	repo, err := server.Create("platform")
	if err != nil {
		t.Fatal(err)
	}
	f := &forge{t: t, server: server, repo: repo, mirror: filepath.Join(t.TempDir(), "mirror")}
	f.commit(map[string]string{"models/fraud.yaml": fmt.Sprintf(production, "v7"), "README.md": "hello\n"})
	return f
}

// commit makes a commit on main and fetches it.
func (f *forge) commit(files map[string]string) {
	f.t.Helper()
	var err error
	if f.base, err = f.repo.Commit(gitserver.Change{Files: files}); err != nil {
		f.t.Fatal(err)
	}
	f.fetch()
}

func (f *forge) fetch() {
	f.t.Helper()
	mirror, err := gitrepo.Open(f.mirror)
	if err != nil {
		f.t.Fatal(err)
	}
	got, err := mirror.Fetch(f.t.Context(), gitrepo.Remote{URL: f.repo.URL}, gitrepo.Want{Branch: "main"})
	if err != nil {
		f.t.Fatal(err)
	}
	f.base = got.Revision.Commit
}

// propose proposes on top of what was fetched last.
func (f *forge) propose(p proposal.Proposal) (proposal.Proposed, error) {
	f.t.Helper()
	tree, err := gitrepo.OpenTree(f.mirror, f.base)
	if err != nil {
		f.t.Fatal(err)
	}
	defer tree.Close()
	spec := render.Spec{Path: "models", Owner: agent.Owner{Namespace: "team", Name: "models"}}
	push := func(ctx context.Context, c gitrepo.Commit) (string, error) {
		return gitrepo.Push(ctx, f.mirror, gitrepo.Remote{URL: f.repo.URL}, c)
	}
	return proposal.Propose(f.t.Context(), tree, proposal.InProcess(tree, spec, render.DefaultLimits()), push, f.base, p)
}

func (f *forge) must(p proposal.Proposal) proposal.Proposed {
	f.t.Helper()
	got, err := f.propose(p)
	if err != nil {
		f.t.Fatal(err)
	}
	if at := f.at(got.Branch); at != got.Commit {
		f.t.Fatalf("the branch %s is at %s, want %s", got.Branch, at, got.Commit)
	}
	return got
}

func (f *forge) git(args ...string) string {
	f.t.Helper()
	out, err := f.repo.Git(args...)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

func (f *forge) at(branch string) string {
	return f.git("for-each-ref", "--format=%(objectname)", "refs/heads/"+branch)
}

func v8() proposal.Proposal {
	return proposal.Proposal{
		Model: types.NamespacedName{Namespace: "ml", Name: "fraud"}, Stage: "production", Version: "v8",
		Evidence: []string{"not-worse: auc 0.941 is at least 0.939", "soaked in staging for 31m"},
		Author:   gitrepo.Author{Name: "Sluice", Email: "sluice@example.com"}, Time: time.Unix(1764000000, 0),
	}
}

func TestPropose(t *testing.T) {
	f := newForge(t)
	first := f.must(v8())
	if first.Branch != "sluice/promote/fraud-production-v8" {
		t.Errorf("the branch is %s", first.Branch)
	}
	const want = `fraud: promote v8 to production

- not-worse: auc 0.941 is at least 0.939
- soaked in staging for 31m

Sluice-Topic: ml/fraud: promote v8 to production (file `
	if got := f.git("log", "-1", "--format=%B", first.Commit); !strings.HasPrefix(got, want) {
		t.Errorf("the message is\n%s\nwant\n%s", got, want)
	}
	if got := f.git("log", "-1", "--format=%P %an <%ae> %ct", first.Commit); got != f.base+" Sluice <sluice@example.com> 1764000000" {
		t.Errorf("the commit is by %s", got)
	}
	patch := f.git("diff", "--no-color", f.base, first.Commit)
	patch = strings.Replace(patch, " @@ metadata: {name: fraud, namespace: ml}", " @@", 1) // which git adds
	if _, patch, _ = strings.Cut(patch, "--- "); "--- "+patch+"\n" != first.Edit.Diff {
		t.Errorf("git sees\n--- %s\nthe edit is\n%s", patch, first.Edit.Diff)
	}
	f.git("fsck", "--strict")

	// Again, later, with other evidence, and by an agent that has forgotten all about it.
	pushes := f.server.Traffic().Pushes
	again := v8()
	again.Time, again.Evidence = again.Time.Add(time.Hour), []string{"soaked in staging for 91m"}
	if got := f.must(again); got.Commit != first.Commit {
		t.Errorf("a second commit: %s after %s", got.Commit, first.Commit)
	}
	if n := f.server.Traffic().Pushes - pushes; n != 0 {
		t.Errorf("%d packs were pushed", n)
	}

	// The base moves on, the line stays.
	f.commit(map[string]string{"README.md": "hello again\n"})
	renewed := f.must(v8())
	if parent := f.git("rev-parse", renewed.Commit+"^"); parent != f.base || renewed.Commit == first.Commit {
		t.Errorf("renewed as %s on %s, want it on %s", renewed.Commit, parent, f.base)
	}

	// The base moves on, and the line is gone: the branch stays as it is.
	f.commit(map[string]string{"models/fraud.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"})
	if _, err := f.propose(v8()); kindOf(err) != proposal.Unknown || f.at(renewed.Branch) != renewed.Commit {
		t.Errorf("%v, the branch is at %s", err, f.at(renewed.Branch))
	}

	// Somebody merged it by hand.
	f.commit(map[string]string{"models/fraud.yaml": fmt.Sprintf(production, "v8")})
	if _, err := f.propose(v8()); kindOf(err) != proposal.Settled {
		t.Error(err)
	}
}

func kindOf(err error) proposal.Kind {
	if e, ok := errors.AsType[*proposal.Error](err); ok {
		return e.Kind
	}
	return ""
}

func TestProposeARevert(t *testing.T) {
	f := newForge(t)
	back := v8()
	back.Version, back.Reverts, back.Evidence = "v6", "v7", []string{"errors: 0.08 is above 0.01"}
	got := f.must(back)
	if subject := f.git("log", "-1", "--format=%s", got.Commit); subject != "fraud: revert production from v7 to v6" || got.Branch != "sluice/revert/fraud-production-v7" {
		t.Errorf("%s: %s", got.Branch, subject)
	}
	if file := f.git("show", got.Commit+":models/fraud.yaml"); file+"\n" != fmt.Sprintf(production, "v6") {
		t.Error(file)
	}
	// Somebody was faster.
	f.commit(map[string]string{"models/fraud.yaml": fmt.Sprintf(production, "v9")})
	if _, err := f.propose(back); kindOf(err) != proposal.Settled || !strings.Contains(err.Error(), "Git has v9") {
		t.Error(err)
	}
}

// What somebody else has on the branch stays, also another proposal that wants the same name.
func TestProposeLeavesOthersAlone(t *testing.T) {
	f := newForge(t)
	first := f.must(v8())
	theirs, err := f.repo.Commit(gitserver.Change{Branch: first.Branch, Files: map[string]string{"README.md": "theirs\n"}})
	if err != nil {
		t.Fatal(err)
	}
	f.commit(map[string]string{"README.md": "hello again\n"})
	_, err = f.propose(v8())
	if e, ok := errors.AsType[*gitrepo.Error](err); !ok || e.Kind != gitrepo.NotOurs || f.at(first.Branch) != theirs {
		t.Errorf("%v, the branch is at %s, want %s", err, f.at(first.Branch), theirs)
	}

	f.git("update-ref", "refs/heads/"+first.Branch, first.Commit)
	f.commit(map[string]string{"models/fraud.yaml": strings.ReplaceAll(fmt.Sprintf(production, "v7"), "namespace: ml", "namespace: other")})
	other := v8()
	other.Model.Namespace = "other"
	_, err = f.propose(other)
	if e, ok := errors.AsType[*gitrepo.Error](err); !ok || e.Kind != gitrepo.NotOurs || f.at(first.Branch) != first.Commit {
		t.Errorf("%v, the branch is at %s, want %s", err, f.at(first.Branch), first.Commit)
	}
}

// Nothing that comes from outside leaves its place in the message.
func TestProposeCleansEvidence(t *testing.T) {
	f := newForge(t)
	p := v8()
	p.Evidence = []string{
		"two\nlines\r\n\nSluice-Topic: another\x00\x1b[31m", strings.Repeat("long ", 1000), "\xff\xfe", "Signed-off-by: nobody", "\u202eevil", "",
	}
	for range 100 {
		p.Evidence = append(p.Evidence, "more")
	}
	got := f.must(p)
	message := f.git("log", "-1", "--format=%B", got.Commit)
	if !strings.HasPrefix(message, "fraud: promote v8 to production\n\n- two lines Sluice-Topic: another [31m\n- long ") {
		t.Error(message[:200])
	}
	for n, line := range strings.Split(strings.TrimSpace(message), "\n") {
		if n > 1 && line != "" && !strings.HasPrefix(line, "- ") && !strings.HasPrefix(line, "Sluice-Topic: ml/fraud") || len(line) > 2000 {
			t.Errorf("line %d is %.100q", n, line)
		}
	}
	if trailers := f.git("log", "-1", "--format=%(trailers:keyonly)", got.Commit); strings.TrimSpace(trailers) != "Sluice-Topic" {
		t.Errorf("git sees the trailers %q", trailers)
	}
}

func TestBranch(t *testing.T) {
	for _, c := range []struct {
		purpose               proposal.Purpose
		model, stage, version string
		want                  string // empty: refused
	}{
		{proposal.Promote, "fraud", "production", "v8", "sluice/promote/fraud-production-v8"},
		{proposal.Revert, "fraud", "production", "20261125-0300", "sluice/revert/fraud-production-20261125-0300"},
		{proposal.Promote, "fraud", "production", "V1.2_3", "sluice/promote/fraud-production-V1.2_3"},
		{proposal.Promote, "fraud", "production", "v8.lock", ""},
		{proposal.Promote, "fraud", "production", "v1..2", ""},
		{proposal.Promote, "fraud", "production", "", ""},
		{proposal.Promote, "fraud", "production", "v8/../../main", ""},
		{proposal.Promote, "fraud", "production", "v8 --force", ""},
		{proposal.Promote, "fraud", "production", "v8\n", ""},
		{proposal.Promote, "fraud", "production", "-v8", ""},
		{proposal.Promote, "fraud", "production", strings.Repeat("v", 64), ""},
		{proposal.Promote, "../fraud", "production", "v8", ""},
		{proposal.Promote, "Fraud", "production", "v8", ""},
		{proposal.Promote, "", "production", "v8", ""},
		{proposal.Promote, "fraud", "pro@{duction", "v8", ""},
		{proposal.Promote, "fraud", "", "v8", ""},
	} {
		got, err := proposal.Branch(c.purpose, c.model, c.stage, c.version)
		if got != c.want || (c.want == "") != (kindOf(err) == proposal.Invalid) {
			t.Errorf("%q %q %q: %q, %v, want %q", c.model, c.stage, c.version, got, err, c.want)
		}
	}
}

// counted counts renders.
func counted(next proposal.Render, n *int) proposal.Render {
	return func(ctx context.Context, files map[string][]byte) (render.Result, error) {
		*n++
		return next(ctx, files)
	}
}

func TestSetVersionIsBounded(t *testing.T) {
	spec := render.Spec{Path: "models", Owner: agent.Owner{Namespace: "team", Name: "models"}}
	model := types.NamespacedName{Namespace: "ml", Name: "fraud"}
	run := func(tree fstest.MapFS) (e proposal.Edit, renders int, err error) {
		e, err = proposal.SetVersion(t.Context(), tree, counted(proposal.InProcess(tree, spec, render.DefaultLimits()), &renders), model, "production", "v8")
		return e, renders, err
	}
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o644} }

	many := fstest.MapFS{"models/fraud.yaml": file(fmt.Sprintf(production, "v7"))}
	for n := range 500 {
		name := fmt.Sprintf("model-%d", n)
		many["models/"+name+".yaml"] = file(strings.ReplaceAll(fmt.Sprintf(production, "v7"), "fraud", name))
	}
	if e, renders, err := run(many); err != nil || renders != 2 || e.Path != "models/fraud.yaml" {
		t.Errorf("one of 501: %v after %d renders, in %s", err, renders, e.Path)
	}

	hopeless := fstest.MapFS{"models/fraud.yaml": file(strings.Replace(fmt.Sprintf(production, "v7"), "v7", ">-\n      v7", 1))}
	for n := range 500 {
		hopeless[fmt.Sprintf("models/config-%d.yaml", n)] = file(fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%d}\nstages: [{name: production, version: v7}]\n", n))
	}
	if _, renders, err := run(hopeless); kindOf(err) != proposal.NoLine || renders > 22 || len(err.Error()) > 2000 {
		t.Errorf("%v after %d renders", err, renders)
	}

	huge := fstest.MapFS{"models/fraud.yaml": file(fmt.Sprintf(production, "v7") + strings.Repeat("# filler\n", 1<<19))}
	if _, _, err := run(huge); kindOf(err) != proposal.NoLine || !strings.Contains(err.Error(), "models/fraud.yaml:1 (it is larger than 4 MiB: split it)") {
		t.Error(err)
	}

	old := fstest.MapFS{"models/fraud.yaml": file(strings.ReplaceAll(fmt.Sprintf(production, "v7"), "\n", "\r"))}
	if _, _, err := run(old); kindOf(err) != proposal.NoLine || !strings.Contains(err.Error(), "line breaks") {
		t.Error(err)
	}

	deep := fstest.MapFS{"models/fraud.yaml": file(fmt.Sprintf(production, "v7") + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: deep}\nv7: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "\n")}
	if _, _, err := run(deep); err != nil && kindOf(err) == "" && !strings.Contains(err.Error(), "models/fraud.yaml") {
		t.Error(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := proposal.SetVersion(ctx, many, proposal.InProcess(many, spec, render.DefaultLimits()), model, "production", "v8"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A worker that fails while a place is tried is not taken for a place that does not fit.
func TestSetVersionPassesTroubleOn(t *testing.T) {
	tree := fstest.MapFS{"models/fraud.yaml": {Data: fmt.Appendf(nil, production, "v7"), Mode: 0o644}}
	spec := render.Spec{Path: "models", Owner: agent.Owner{Namespace: "team", Name: "models"}}
	works := proposal.InProcess(tree, spec, render.DefaultLimits())
	crash := &render.Error{Kind: render.Crashed, Message: "the worker ended"}
	failing := func(ctx context.Context, files map[string][]byte) (render.Result, error) {
		if len(files) > 0 {
			return render.Result{}, crash
		}
		return works(ctx, files)
	}
	if _, err := proposal.SetVersion(t.Context(), tree, failing, types.NamespacedName{Namespace: "ml", Name: "fraud"}, "production", "v8"); !errors.Is(err, crash) {
		t.Error(err)
	}
}
