package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rollingBack is one call of `sluice rollback`.
type rollingBack struct {
	to      string
	clone   string
	paths   []string
	suspend bool
	note    string
	out     io.Writer
}

func newRollbackCommand() *cobra.Command {
	r := rollingBack{clone: "."}
	cmd := &cobra.Command{
		Use:   "rollback OVERLAY --to REVISION",
		Short: "Propose the commit that takes an Overlay back to an earlier revision",
		Long: `Make a commit that restores the directory of an Overlay as it was at an earlier revision,
on a branch of its own in a local clone, and say how to propose it. Nothing is pushed, the
work tree is not touched, and the cluster changes when the commit is merged: Git is the only
way in.

With --suspend, the Overlay is suspended as well, so that nothing moves until the commit is
merged and sluice resume is called.`,
		Example: `  # Which revisions there were
  sluice history kubeflow

  # Go back to one of them
  sluice rollback kubeflow --to main@4f2a9c1

  # Stop everything first
  sluice rollback kubeflow --to main@4f2a9c1 --suspend --note "INC-42"`,
		Args: usage(cobra.ExactArgs(1), "name one Overlay: sluice rollback OVERLAY --to REVISION"),
	}
	cmd.Flags().StringVar(&r.to, "to", "", "Revision to go back to: main@4f2a9c1, a commit, or a tag.")
	cmd.Flags().StringVar(&r.clone, "repo", r.clone, "A clone of the Overlay's Repository.")
	cmd.Flags().StringArrayVar(&r.paths, "path", nil, "Restore this path of the repository too; can be given several times.")
	cmd.Flags().BoolVar(&r.suspend, "suspend", false, "Suspend the Overlay.")
	cmd.Flags().StringVar(&r.note, "note", "", "Why it is suspended, for other people.")
	a := reach(cmd)
	cmd.ValidArgsFunction = a.completeOverlay
	must(cmd.RegisterFlagCompletionFunc("to", a.completeHistory))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r.out = cmd.OutOrStdout()
		if r.to == "" {
			return fmt.Errorf("say where to go back to with --to REVISION: sluice history %s lists what there was", args[0])
		}
		if r.note != "" && !r.suspend {
			return errors.New("--note says why the Overlay is suspended: give --suspend too")
		}
		for n, name := range r.paths {
			if r.paths[n] = path.Clean(name); !fs.ValidPath(r.paths[n]) {
				return fmt.Errorf("--path %s is not in the repository: write it from the repository's root, such as base or apps/web", name)
			}
		}
		c, o, err := a.overlay(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return r.run(cmd.Context(), c, o)
	}
	return cmd
}

func (r *rollingBack) run(ctx context.Context, c client.Client, o *v1alpha1.Overlay) error {
	var repository v1alpha1.Repository
	if err := c.Get(ctx, o.RepositoryName(), &repository); err != nil {
		return explain(err, v1alpha1.RepositoryKind, o.RepositoryName())
	}
	branch, head, err := followed(&repository)
	if err != nil {
		return err
	}
	at, err := locate(r.clone)
	if err != nil {
		return err
	}
	clone, err := openClone(at.root)
	if err != nil {
		return err
	}
	base, err := resolve(clone, head)
	if err != nil {
		return fmt.Errorf("the cluster is at %s, which this clone does not have: run git fetch, or give a clone of %s with --repo", agent.Short(repository.Status.Revision), repository.Spec.URL)
	}
	target, err := resolve(clone, r.to)
	if err != nil {
		return err
	}
	v := revert{clone: clone, base: base, target: target, paths: append([]string{path.Clean(o.Spec.Path)}, r.paths...)}
	proposed, err := v.commit(o.Name, time.Now())
	if err != nil {
		return err
	}
	if err := r.tell(v, proposed, o, &repository, branch); err != nil || !r.suspend {
		return err
	}
	return suspend(ctx, r.out, c, kindOf(v1alpha1.OverlayKind), o, cmp.Or(r.note, "rolling back: "+proposed.branch))
}

// followed returns the branch that a Repository follows, and the commit that it is at.
func followed(repository *v1alpha1.Repository) (branch, commit string, err error) {
	name := repository.Namespace + "/" + repository.Name
	if ref := repository.Spec.Ref; ref != nil && (ref.Tag != "" || ref.SemVer != "" || ref.Commit != "" || ref.Name != "") {
		return "", "", fmt.Errorf("Repository %s does not follow a branch, so there is none to propose a commit to: name the earlier revision in its spec.ref", name)
	}
	branch, commit, found := strings.Cut(repository.Status.Revision, "@sha1:")
	if !found {
		return "", "", fmt.Errorf("Repository %s has not been fetched yet: see sluice get repositories", name)
	}
	return branch, commit, nil
}

// tell says what the commit does, and how to propose it.
func (r *rollingBack) tell(v revert, p rollback, o *v1alpha1.Overlay, repository *v1alpha1.Repository, branch string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Branch %s has the commit %s: %s\n", p.branch, p.commit.Hash.String()[:7], oneLine(subject(p.commit)))
	for _, line := range abridge(p.files, maxListed) {
		fmt.Fprintf(&b, "  %s\n", oneLine(line))
	}
	if undone := v.undone(); len(undone) > 0 {
		b.WriteString("It undoes:\n")
		for _, c := range abridge(undone, maxListed) {
			fmt.Fprintf(&b, "  %s\n", oneLine(c))
		}
	}
	left, err := v.left(p, o)
	switch {
	case err != nil:
		fmt.Fprintf(&b, "Whether it renders as at %s could not be found out: %s\n", r.to, oneLine(err.Error()))
	case len(left) == 0:
		fmt.Fprintf(&b, "The Overlay then renders from the same files as at %s.\n", r.to)
	default:
		fmt.Fprintf(&b, "The Overlay also reads these files, which stay as they are now; --path restores them too, for all who read them:\n")
		for _, name := range abridge(left, maxListed) {
			fmt.Fprintf(&b, "  %s\n", oneLine(name))
		}
	}
	fmt.Fprintf(&b, "Nothing was pushed, and the work tree was not touched. To propose it:\n\n  git push %s %s\n  %s\n",
		remoteOf(v.clone, repository.Spec.URL), p.branch, howToPropose(repository.Spec.URL, p.branch, branch))
	if r.suspend || o.Spec.Suspend {
		fmt.Fprintf(&b, "  sluice resume overlay %s -n %s  # when it is merged\n", o.Name, o.Namespace)
	}
	b.WriteString("\n")
	_, err = io.WriteString(r.out, b.String())
	return err
}

// maxListed is how many lines of one sort are printed.
const maxListed = 20

func abridge(lines []string, most int) []string {
	if len(lines) <= most {
		return lines
	}
	return append(slices.Clone(lines[:most]), fmt.Sprintf("and %d more", len(lines)-most))
}

func subject(c *object.Commit) string {
	line, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
	return line
}

// remoteOf is the name under which a clone knows the Repository.
func remoteOf(clone *git.Repository, url string) string {
	remotes, err := clone.Remotes()
	if err != nil {
		return "origin"
	}
	for _, remote := range remotes {
		if slices.ContainsFunc(remote.Config().URLs, func(u string) bool { return gitrepo.Address(u) == gitrepo.Address(url) }) {
			return remote.Config().Name
		}
	}
	return "origin"
}

func howToPropose(url, branch, into string) string {
	switch host, _, _ := strings.Cut(gitrepo.Address(url), "/"); {
	case host == "github.com":
		return fmt.Sprintf("gh pr create --head %s --base %s --fill", branch, into)
	case strings.Contains(host, "gitlab"):
		return fmt.Sprintf("glab mr create --source-branch %s --target-branch %s --fill", branch, into)
	}
	return fmt.Sprintf("# then open a pull request from %s to %s", branch, into)
}
