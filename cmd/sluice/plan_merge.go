package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/forge"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/pull"
	"github.com/sluice-dev/sluice/agent/report"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ofMerge tells that a pull request, or a work tree as one, is to be planned.
func (p *planning) ofMerge(cmd *cobra.Command) bool {
	return cmd.Flags().Changed("pr") || cmd.Flags().Changed("base")
}

// runMerge prints what the agent comments on a pull request.
func (p *planning) runMerge(cmd *cobra.Command) error {
	pr := cmd.Flags().Changed("pr")
	switch {
	case pr && cmd.Flags().Changed("base"):
		return errors.New("--pr is what the forge has, and --base what is here: give one of them")
	case pr && p.pr <= 0:
		return fmt.Errorf("--pr %d is no pull request: give its number", p.pr)
	case pr && p.local != "":
		return errors.New("--pr is planned as the forge has it: leave --local out, or use --base")
	case !pr && p.base == "":
		return errors.New("--base names nothing: give a branch, a tag or a commit of the clone")
	case p.overlay != "":
		return errors.New("--pr and --base find the Overlays themselves: leave --overlay out")
	case p.output != "" && p.output != "markdown":
		return fmt.Errorf("--pr and --base print markdown: leave out -o %s", p.output)
	}
	var err error
	if p.client, err = p.access.client(); err != nil {
		return err
	}
	plan := p.planBase
	if pr {
		plan = p.planPull
	}
	planned, err := plan(cmd.Context())
	if err != nil {
		return err
	}
	if _, err := io.WriteString(p.out, report.Markdown(planned.Report, 0)); err != nil {
		return err
	}
	switch {
	case planned.Unclear:
		return exitCode(failed)
	case planned.Report.State() == report.Failure:
		return exitCode(negative)
	}
	return nil
}

// planPull plans a pull request as the agent does.
func (p *planning) planPull(ctx context.Context) (pull.Planned, error) {
	repo, err := p.repositoryOf(ctx, "has spec.pullRequests", func(r *v1alpha1.Repository) bool { return r.Spec.PullRequests != nil })
	if err != nil {
		return pull.Planned{}, err
	}
	forges := &forge.Forges{Live: p.client, AllowInsecure: p.allowInsecure}
	at, err := forges.Of(ctx, repo)
	if err != nil {
		return pull.Planned{}, p.outOfReach(repo, err)
	}
	asked, err := at.Pull(ctx, p.pr)
	if e, is := errors.AsType[*forge.Error](err); is && e.Kind == forge.NotFound {
		return pull.Planned{}, err
	}
	if err != nil {
		return pull.Planned{}, p.outOfReach(repo, err)
	}
	dir, err := os.MkdirTemp("", "sluice-plan-")
	if err != nil {
		return pull.Planned{}, err
	}
	defer os.RemoveAll(dir)
	base, err := gitrepo.FetchRepository(ctx, filepath.Join(dir, "branch"), repo, p.client, p.allowInsecure)
	if err != nil {
		return pull.Planned{}, p.outOfReach(repo, err)
	}
	if err := p.plannable(asked, repo, base.Revision); err != nil {
		return pull.Planned{}, err
	}
	planner, done, err := p.planner(repo)
	if err != nil {
		return pull.Planned{}, err
	}
	defer done()
	fetcher := &pull.Fetcher{Live: p.client, Dir: filepath.Join(dir, "pulls"), AllowInsecure: p.allowInsecure}
	planned, err := planner.Pull(ctx, at, fetcher, repo, asked, base.Revision, time.Now())
	return planned, explain(err, v1alpha1.OverlayKind, types.NamespacedName{})
}

// outOfReach says what to do where a Repository or its forge cannot be asked from here.
func (p *planning) outOfReach(repo *v1alpha1.Repository, err error) error {
	hint := "in a clone, sluice plan --base BRANCH asks neither"
	if apierrors.IsForbidden(err) {
		hint = "it takes the right to get the Secrets that the Repository names; in a clone, sluice plan --base BRANCH does without"
	}
	return fmt.Errorf("Repository %s/%s or its forge cannot be asked from here: %w; %s", repo.Namespace, repo.Name, err, hint)
}

// plannable tells whether the agent would plan a pull request too.
func (p *planning) plannable(asked forge.Pull, repo *v1alpha1.Repository, base agent.Revision) error {
	branch, err := pull.BranchOf(repo, base.Name)
	switch {
	case err != nil:
		return fmt.Errorf("Repository %s/%s: %w", repo.Namespace, repo.Name, err)
	case !asked.Open:
		return fmt.Errorf("pull request %d is closed: there is nothing to plan", asked.Number)
	case asked.Base.Name != branch:
		return fmt.Errorf("pull request %d is to be merged into %s, and Repository %s/%s follows %s: merging it does nothing to the cluster",
			asked.Number, oneLine(asked.Base.Name), repo.Namespace, repo.Name, branch)
	case asked.Head.Fork != "" && !repo.Spec.PullRequests.Forks:
		_, err = fmt.Fprintf(p.remarks, "It is from a fork, and spec.pullRequests.forks does not allow those: the agent says nothing of this.\n")
	}
	return err
}

// planBase plans the work tree of a clone against a commit of it.
func (p *planning) planBase(ctx context.Context) (pull.Planned, error) {
	at, err := locate(cmp.Or(p.local, "."))
	if err != nil {
		return pull.Planned{}, err
	}
	if !at.inGit {
		return pull.Planned{}, fmt.Errorf("%s is in no Git repository: go into a clone, or give one with --local", at.root)
	}
	clone, err := openClone(at.root)
	if err != nil {
		return pull.Planned{}, err
	}
	base, err := p.baseOf(clone)
	if err != nil {
		return pull.Planned{}, err
	}
	repo, err := p.repositoryOf(ctx, "has the URL of a remote of this clone"+addresses(at.remotes()), func(r *v1alpha1.Repository) bool {
		return slices.ContainsFunc(at.remotes(), func(url string) bool { return gitrepo.Address(url) == gitrepo.Address(r.Spec.URL) })
	})
	if err != nil {
		return pull.Planned{}, err
	}
	if err := p.remarkBehind(clone, base, repo); err != nil {
		return pull.Planned{}, err
	}
	planner, done, err := p.planner(repo)
	if err != nil {
		return pull.Planned{}, err
	}
	defer done()
	merge := pull.Merge{Repository: client.ObjectKeyFromObject(repo), Dir: at.root, Base: agent.Revision{Name: p.base, Commit: base.Hash.String()}}
	if repo.Spec.PullRequests != nil {
		merge.Name = repo.Spec.PullRequests.Name
	}
	planned, err := planner.Plan(ctx, merge, time.Now())
	return planned, explain(err, v1alpha1.OverlayKind, types.NamespacedName{})
}

// planner plans with the rights of whoever asks.
func (p *planning) planner(repo *v1alpha1.Repository) (pull.Planner, func(), error) {
	syncer, done, err := p.syncer()
	return pull.Planner{
		Syncer: syncer, Reader: narrow{p.client, repo.Namespace},
		Account: func(*v1alpha1.Overlay) cluster.Account { return cluster.Yours },
	}, done, err
}

// repositoryOf finds the Repository that is named, or else the only one that fits.
func (p *planning) repositoryOf(ctx context.Context, fitting string, fits func(*v1alpha1.Repository) bool) (*v1alpha1.Repository, error) {
	namespace, err := p.access.namespace()
	if err != nil {
		return nil, err
	}
	if key := (types.NamespacedName{Namespace: namespace, Name: p.repository}); p.repository != "" {
		var repo v1alpha1.Repository
		return &repo, explain(p.client.Get(ctx, key, &repo), v1alpha1.RepositoryKind, key)
	}
	where := "namespace " + namespace
	if p.allNamespaces {
		namespace, where = "", "any namespace"
	}
	var all v1alpha1.RepositoryList
	if err := p.client.List(ctx, &all, client.InNamespace(namespace)); err != nil {
		return nil, explain(err, v1alpha1.RepositoryKind, types.NamespacedName{})
	}
	var found []*v1alpha1.Repository
	var names []string
	for n := range all.Items {
		if r := &all.Items[n]; fits(r) {
			found, names = append(found, r), append(names, client.ObjectKeyFromObject(r).String())
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fmt.Errorf("no Repository in %s %s: name one with --repository NAME -n NAMESPACE, or look in all namespaces with -A", where, fitting)
	}
	return nil, fmt.Errorf("more than one Repository %s: %s; choose with --repository NAME -n NAMESPACE", fitting, strings.Join(names, ", "))
}

// addresses shows URLs without the credentials that pipelines like to put there.
func addresses(urls []string) string {
	if len(urls) == 0 {
		return ", which has none"
	}
	var shown []string
	for _, url := range urls {
		shown = append(shown, oneLine(gitrepo.Address(url)))
	}
	slices.Sort(shown)
	return " (" + strings.Join(slices.Compact(shown), ", ") + ")"
}

// baseOf finds the commit that --base names: a branch need not be one of the clone's own.
func (p *planning) baseOf(clone *git.Repository) (*object.Commit, error) {
	commit, err := resolve(clone, p.base)
	if err == nil {
		return commit, nil
	}
	remotes, _ := clone.Remotes() // none, if they cannot be read
	for _, remote := range remotes {
		if commit, err := resolve(clone, remote.Config().Name+"/"+p.base); err == nil {
			return commit, nil
		}
	}
	if isShallow(clone) {
		return nil, fmt.Errorf("this clone is a shallow one and does not have %s: fetch the whole history (fetch-depth: 0 of actions/checkout, GIT_DEPTH: 0 of GitLab, git fetch --unshallow)", oneLine(p.base))
	}
	return nil, err
}

func isShallow(clone *git.Repository) bool {
	cut, err := clone.Storer.Shallow()
	return err == nil && len(cut) > 0
}

// remarkBehind remarks that the plan takes back what the base, or the cluster, has and HEAD has not.
func (p *planning) remarkBehind(clone *git.Repository, base *object.Commit, repo *v1alpha1.Repository) error {
	wanted := map[plumbing.Hash]string{base.Hash: p.base + "@" + base.Hash.String()[:7]}
	if live := agent.ParseRevision(repo.Status.Revision).Commit; plumbing.IsHash(live) {
		wanted[plumbing.NewHash(live)] = agent.Short(repo.Status.Revision)
	}
	whole := walk(clone, func(id plumbing.Hash) bool { delete(wanted, id); return len(wanted) > 0 })
	var lacks []string
	for _, name := range wanted {
		lacks = append(lacks, oneLine(name))
	}
	slices.Sort(lacks)
	var err error
	switch {
	case len(lacks) == 0:
	case whole:
		_, err = fmt.Fprintf(p.remarks, "HEAD is behind %s: the plan takes back what has come since. Merge it or rebase first.\n", strings.Join(lacks, " and "))
	default:
		_, err = fmt.Fprintf(p.remarks, "Whether HEAD has %s is not known, for this clone does not have the whole history: if not, the plan takes back what has come since.\n", strings.Join(lacks, " and "))
	}
	return err
}

// mostWalked is how many commits are looked at: a second of work.
const mostWalked = 20_000

// walk visits HEAD and the commits before it, until visit returns false. It tells whether all were there.
func walk(clone *git.Repository, visit func(plumbing.Hash) bool) (whole bool) {
	head, err := clone.Head()
	if err != nil {
		return true // there is no commit yet
	}
	whole = true
	seen, queue := map[plumbing.Hash]bool{head.Hash(): true}, []plumbing.Hash{head.Hash()}
	for n := 0; n < len(queue); n++ {
		if n == mostWalked {
			return false
		}
		if !visit(queue[n]) {
			return whole
		}
		commit, err := clone.CommitObject(queue[n])
		if err != nil {
			whole = false
			continue
		}
		for _, parent := range commit.ParentHashes {
			if !seen[parent] {
				seen[parent] = true
				queue = append(queue, parent)
			}
		}
	}
	return whole
}
