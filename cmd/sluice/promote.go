package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/promotion"
	"github.com/sluice-dev/sluice/agent/proposal"
	"github.com/sluice-dev/sluice/agent/render"
	agentsync "github.com/sluice-dev/sluice/agent/sync"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// promoting is one call of `sluice promote`.
type promoting struct {
	version string
	stage   string
	clone   string
	dryRun  bool
	out     io.Writer
}

func newPromoteCommand() *cobra.Command {
	p := promoting{clone: "."}
	cmd := &cobra.Command{
		Use:   "promote MODEL VERSION --stage STAGE",
		Short: "Propose the commit that has a version of a Model serve in a stage",
		Long: `Change the one line that says which version of a Model serves in a stage, in a commit on a
branch of its own in a local clone, and say how to propose it. Nothing is pushed, the work
tree is not touched, and the version comes to serve when the commit is merged and the gates
of the stage are passed: Git is the only way in.

With --dry-run, show the line and what the gates come to now, and make no commit.`,
		Example: `  # What would it take?
  sluice promote fraud v8 --stage production --dry-run

  # Propose it
  sluice promote fraud v8 --stage production`,
		Args: usage(cobra.ExactArgs(2), "name a Model and a version: sluice promote MODEL VERSION --stage STAGE"),
	}
	cmd.Flags().StringVar(&p.stage, "stage", "", "Stage in which the version is to serve.")
	cmd.Flags().StringVar(&p.clone, "repo", p.clone, "A clone of the Repository that the Model comes from.")
	cmd.Flags().BoolVar(&p.dryRun, "dry-run", false, "Show the line and the gates, and make no commit.")
	a := reach(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p.version, p.out = args[1], cmd.OutOrStdout()
		if p.stage == "" {
			return errors.New("say where the version is to serve with --stage STAGE")
		}
		c, m, err := a.model(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if err := hasStage(m, p.stage); err != nil {
			return err
		}
		return p.run(cmd.Context(), c, m)
	}
	return cmd
}

func (p *promoting) run(ctx context.Context, c client.Client, m *v1alpha1.Model) error {
	findings, err := p.gates(ctx, c, m)
	if err != nil {
		return err
	}
	o, repository, err := sourceOf(ctx, c, m)
	if err != nil {
		return err
	}
	branch, head, err := followed(repository)
	if err != nil {
		return err
	}
	at, err := locate(p.clone)
	if err != nil {
		return err
	}
	clone, err := openClone(at.root)
	if err != nil {
		return err
	}
	base, err := resolve(clone, head)
	if err != nil {
		return fmt.Errorf("the cluster is at %s, which this clone does not have: run git fetch, or give a clone of %s with --repo", head[:7], repository.Spec.URL)
	}
	tree := gitrepo.CloneTree(clone.Storer, base)
	edit, err := proposal.SetVersion(ctx, tree, proposal.InProcess(tree, agentsync.SpecOf(o, nil), render.DefaultLimits()),
		types.NamespacedName{Namespace: m.Namespace, Name: m.Name}, p.stage, p.version)
	if err != nil {
		return err
	}
	if err := p.show(edit, findings); err != nil || p.dryRun {
		return err
	}
	made, err := p.commit(clone, base, edit, m, findings)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "\nBranch %s has the commit %s: %s\nNothing was pushed, and the work tree was not touched. To propose it:\n\n  git push %s %s\n  %s\n\n",
		made.branch, made.commit.Hash.String()[:7], oneLine(subject(made.commit)), remoteOf(clone, repository.Spec.URL), made.branch, howToPropose(repository.Spec.URL, made.branch, branch))
	return err
}

// sourceOf reads the Overlay that applies a Model, and its Repository.
func sourceOf(ctx context.Context, c client.Client, m *v1alpha1.Model) (*v1alpha1.Overlay, *v1alpha1.Repository, error) {
	key := client.ObjectKey{Namespace: m.Labels[v1alpha1.OverlayNamespaceLabel], Name: m.Labels[v1alpha1.OverlayLabel]}
	if key.Name == "" {
		return nil, nil, fmt.Errorf("Model %s is applied by no Overlay, so there is no file to change: commit it to a repository first", m.Name)
	}
	var o v1alpha1.Overlay
	if err := c.Get(ctx, key, &o); err != nil {
		return nil, nil, explain(err, v1alpha1.OverlayKind, key)
	}
	var repository v1alpha1.Repository
	if err := c.Get(ctx, o.RepositoryName(), &repository); err != nil {
		return nil, nil, explain(err, v1alpha1.RepositoryKind, o.RepositoryName())
	}
	return &o, &repository, nil
}

// gates asks those that can be asked before there is a commit.
func (p *promoting) gates(ctx context.Context, c client.Client, m *v1alpha1.Model) ([]v1alpha1.Finding, error) {
	var versions v1alpha1.ModelVersionList
	var policies v1alpha1.PromotionPolicyList
	var promotions v1alpha1.PromotionList
	var namespace corev1.Namespace
	if err := c.List(ctx, &versions, client.InNamespace(m.Namespace)); err != nil {
		return nil, explain(err, v1alpha1.ModelVersionKind, client.ObjectKey{})
	}
	if err := c.List(ctx, &policies); err != nil {
		return nil, explain(err, v1alpha1.PromotionPolicyKind, client.ObjectKey{})
	}
	if err := c.List(ctx, &promotions, client.InNamespace(m.Namespace), client.MatchingLabels{v1alpha1.ModelLabel: m.Name}); err != nil {
		return nil, explain(err, v1alpha1.PromotionKind, client.ObjectKey{})
	}
	if err := c.Get(ctx, client.ObjectKey{Name: m.Namespace}, &namespace); err != nil {
		return nil, err
	}
	own := slices.DeleteFunc(versions.Items, func(v v1alpha1.ModelVersion) bool { return v.Spec.Model != m.Name })
	return promotion.Ahead{Model: m, Namespace: namespace.Labels, Versions: own, Policies: policies.Items, Promotions: promotions.Items}.Check(p.stage, p.version, time.Now())
}

// show prints the line and what the gates come to.
func (p *promoting) show(edit proposal.Edit, findings []v1alpha1.Finding) error {
	if _, err := io.WriteString(p.out, edit.Diff); err != nil {
		return err
	}
	if len(findings) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(p.out, "\nThe gates now:"); err != nil {
		return err
	}
	rows := [][]string{}
	for _, f := range findings {
		name := f.Gate
		if f.Policy != "" {
			name += " (" + f.Policy + ")"
		}
		rows = append(rows, []string{"  " + name, string(f.Result), f.Message})
	}
	return (&table{out: p.out, color: colorful(p.out)}).rows(rows)
}

// commit writes the commit and its branch, as the agent would.
func (p *promoting) commit(clone *git.Repository, base *object.Commit, edit proposal.Edit, m *v1alpha1.Model, findings []v1alpha1.Finding) (rollback, error) {
	branch, err := proposal.Branch(proposal.Promote, m.Name, p.stage, p.version)
	if err != nil {
		return rollback{}, err
	}
	name := plumbing.NewBranchReferenceName(branch)
	if _, err := clone.Reference(name, false); err == nil {
		return rollback{}, fmt.Errorf("the branch %s is there already: push it, or delete it with git branch -D %s", branch, branch)
	}
	before, err := base.Tree()
	if err != nil {
		return rollback{}, err
	}
	entry, err := before.FindEntry(edit.Path)
	if err != nil {
		return rollback{}, err
	}
	if entry.Hash, err = storeFile(clone.Storer, edit.Content); err != nil {
		return rollback{}, err
	}
	root, err := graft(clone.Storer, before.Hash, strings.Split(edit.Path, "/"), *entry)
	if err != nil {
		return rollback{}, err
	}
	author, err := revert{clone: clone}.author(time.Now())
	if err != nil {
		return rollback{}, err
	}
	message := fmt.Sprintf("%s: promote %s to %s\n", m.Name, p.version, p.stage)
	for n, f := range findings {
		if n == 0 {
			message += "\n"
		}
		message += fmt.Sprintf("- gate %s: %s\n", f.Gate, oneLine(f.Message))
	}
	c := &object.Commit{Author: author, Committer: author, Message: message, TreeHash: root, ParentHashes: []plumbing.Hash{base.Hash}}
	made, err := store(clone.Storer, c)
	if err != nil {
		return rollback{}, err
	}
	result := rollback{branch: branch}
	if result.commit, err = clone.CommitObject(made); err != nil {
		return rollback{}, err
	}
	return result, clone.Storer.SetReference(plumbing.NewHashReference(name, made))
}

// storeFile writes the content of a file.
func storeFile(s storer.EncodedObjectStorer, content []byte) (plumbing.Hash, error) {
	blob := s.NewEncodedObject()
	blob.SetType(plumbing.BlobObject)
	w, err := blob.Writer()
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return plumbing.ZeroHash, err
	}
	return s.SetEncodedObject(blob)
}
