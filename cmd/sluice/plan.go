package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/execute"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/sluice-dev/sluice/agent/sync"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// planning is one call of `sluice plan`.
type planning struct {
	access        *access
	local         string
	overlay       string
	pr            int    // number of a pull request
	base          string // revision that the work tree is compared with
	repository    string // that pr or base is about; empty to find it
	allNamespaces bool
	allowInsecure bool
	limits        render.Limits
	output        string
	out, remarks  io.Writer

	client client.WithWatch
}

func newPlanCommand() *cobra.Command {
	p := planning{limits: render.DefaultLimits()}
	cmd := &cobra.Command{
		Use:   "plan OVERLAY|PATH|--pr NUMBER|--base BRANCH",
		Short: "Show what the agent would change in the cluster, and why",
		Long: `Show what the agent would change in the cluster for an Overlay, why, and which fields: it
is the agent's own plan, made here and not carried out. Values of Secrets are masked.

OVERLAY is planned at the newest commit of its Repository, which is fetched anew with the
Repository's own credentials, or with --local from a work tree. PATH, which has a slash in it
or is ".", is a directory of a work tree: the Overlay is the one whose spec.path it is, or the
one named by --overlay.

It takes the right to read what the plan is about, and to patch it, for changes are tried as
dry runs; what may not be tried is still shown. Nothing is written. What other Repositories'
Overlays are about to do is not foreseen.

The exit code is 0 if there is nothing to do, 1 if something would change or is refused, and
2 if that could not be found out.

With --pr or --base it is what the agent comments on a pull request, in Markdown: all Overlays
of a Repository that the pull request makes a difference to, the models that it promotes with
what their gates say, and what has to be put right before the merge.

--pr NUMBER plans the merge of a pull request of a Repository with spec.pullRequests. It takes
the right to get the Secrets that the Repository names.

--base BRANCH is for a pipeline of your own: it plans the work tree of the clone that one is in,
or that of --local, as it is. Those Overlays of its Repository are planned that do not come to
the same on BRANCH, which is a branch, a tag or a commit of the clone. The Repository is the one
whose URL is that of a remote of the clone, or the one named by --repository.

There a change is what a pull request is for, and nothing to fail a pipeline by: the exit code
is 0 if nothing has to be put right before the merge, 1 if something has (what the agent's
commit status would fail for), and 2 if that could not be found out.`,
		Example: `  # What would the newest commit do?
  sluice plan kubeflow

  # What would my edit do, before I commit it?
  sluice plan ./overlays/kubeflow

  # The same directory for another Overlay
  sluice plan ./overlays/kubeflow --overlay kubeflow-staging -n staging

  # Fail a pipeline unless the cluster is as Git says
  sluice plan kubeflow -o json

  # What does the agent say of pull request 7?
  sluice plan --pr 7 -n sluice-system

  # The same in a pipeline that has checked the pull request out, with the whole history
  sluice plan --base main --format markdown -n sluice-system`,
		Args: func(cmd *cobra.Command, args []string) error {
			if p.ofMerge(cmd) {
				return usage(cobra.NoArgs, "--pr and --base find the Overlays themselves: leave their names out")(cmd, args)
			}
			return usage(cobra.ExactArgs(1), "name one Overlay or one directory: sluice plan OVERLAY, or sluice plan ./PATH")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			p.out, p.remarks = cmd.OutOrStdout(), cmd.ErrOrStderr()
			if p.ofMerge(cmd) {
				return p.runMerge(cmd)
			}
			switch {
			case p.repository != "":
				return errors.New("--repository is for --pr and --base: an Overlay names its own")
			case p.output == "markdown":
				return errors.New("markdown is what --pr and --base print: the plan of one Overlay is text, json or yaml")
			}
			p.output = cmp.Or(p.output, "text")
			return p.run(cmd.Context(), args[0])
		},
	}
	cmd.Flags().StringVar(&p.local, "local", "", "Plan from this work tree instead of the Repository's newest commit.")
	cmd.Flags().StringVar(&p.overlay, "overlay", "", "Overlay to plan PATH for.")
	cmd.Flags().IntVar(&p.pr, "pr", 0, "Pull request to plan the merge of.")
	cmd.Flags().StringVar(&p.base, "base", "", "Branch, tag or commit of the clone that the work tree is to be merged into.")
	cmd.Flags().StringVar(&p.repository, "repository", "", "Repository that --pr or --base is about. Default: the only one that it can be.")
	cmd.Flags().BoolVarP(&p.allNamespaces, "all-namespaces", "A", false, "Look for the Overlay of PATH, or the Repository, in all namespaces.")
	cmd.Flags().BoolVar(&p.allowInsecure, "allow-insecure-git", false, "Fetch http:// and file:// Repositories too.")
	limitFlags(cmd.Flags(), &p.limits)
	outputFlag(cmd, &p.output, "text", "json", "yaml", "markdown")
	cmd.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "format" { // as some expect it
			name = "output"
		}
		return pflag.NormalizedName(name)
	})
	p.access = reach(cmd)
	cmd.ValidArgsFunction = p.access.completeOverlayOrPath
	must(cmd.RegisterFlagCompletionFunc("overlay", p.access.completeOverlay))
	must(cmd.RegisterFlagCompletionFunc("repository", p.access.completeRepository))
	return cmd
}

func (p *planning) run(ctx context.Context, arg string) error {
	c, key, err := p.access.named(arg)
	if err != nil {
		return err
	}
	p.client = c
	var all v1alpha1.OverlayList
	var reader client.Reader = c
	if !p.allNamespaces {
		reader = narrow{c, key.Namespace}
	}
	if err := reader.List(ctx, &all); err != nil {
		return explain(err, v1alpha1.OverlayKind, types.NamespacedName{})
	}
	o, at, err := p.subject(arg, key.Namespace, all.Items)
	if err != nil {
		return err
	}
	if !o.DeletionTimestamp.IsZero() {
		return p.leaving(o)
	}
	source, done, err := p.source(ctx, o, at)
	if err != nil {
		return err
	}
	defer done()
	made, err := p.preview(ctx, o, all.Items, source)
	if err != nil {
		return err
	}
	if err := p.print(o, made); err != nil {
		return err
	}
	switch {
	case slices.ContainsFunc(made.Violations, func(v agent.Violation) bool { return v.Unread }):
		return exitCode(failed)
	case !made.Empty():
		return exitCode(negative)
	}
	return nil
}

// subject finds out which Overlay is to be planned, and from which work tree, if from one.
func (p *planning) subject(arg, namespace string, all []v1alpha1.Overlay) (*v1alpha1.Overlay, *place, error) {
	if isPath(arg) {
		at, err := locate(arg)
		if err != nil {
			return nil, nil, err
		}
		o, err := p.overlayOf(at, namespace, all)
		if err != nil {
			return nil, nil, err
		}
		o.Spec.Path = at.path
		return o, &at, nil
	}
	if p.overlay != "" {
		return nil, nil, fmt.Errorf("--overlay is for directories: write ./%s if that is one", arg)
	}
	o, err := choose(all, types.NamespacedName{Namespace: namespace, Name: arg})
	if err != nil || p.local == "" {
		return o, nil, err
	}
	at, err := locate(p.local)
	return o, &at, err
}

// source is where the files are: in a work tree, or in the newest commit.
func (p *planning) source(ctx context.Context, o *v1alpha1.Overlay, at *place) (sync.Source, func(), error) {
	if at != nil {
		return sync.Source{Dir: at.root}, func() {}, nil
	}
	return p.fetch(ctx, o)
}

// leaving says what there is to say about an Overlay that is being deleted: what Git has does
// not matter to it any more, so a plan would be about something that does not happen.
func (p *planning) leaving(o *v1alpha1.Overlay) error {
	text := "being deleted"
	if ready := readyOf(o); ready != nil && strings.HasPrefix(ready.Message, text) {
		text = oneLine(ready.Message) // with what it waits for
	}
	var err error
	if p.output == "text" {
		_, err = fmt.Fprintf(p.out, "Overlay %s is %s.\nNothing of Git is applied for it any more; sluice tree %s -n %s shows which objects it still has.\n",
			client.ObjectKeyFromObject(o), text, o.Name, o.Namespace)
	} else {
		printed := planOf(o, agent.Plan{})
		printed.Summary = text
		err = encode(p.out, p.output, printed)
	}
	return cmp.Or(err, error(exitCode(negative)))
}

// isPath tells a directory from the name of an Overlay, which has no slash in it.
func isPath(arg string) bool { return strings.ContainsRune(arg, '/') || arg == "." || arg == ".." }

// overlayOf finds the Overlay that a directory is for.
func (p *planning) overlayOf(at place, namespace string, all []v1alpha1.Overlay) (*v1alpha1.Overlay, error) {
	if p.overlay != "" {
		return choose(all, types.NamespacedName{Namespace: namespace, Name: p.overlay})
	}
	var found []*v1alpha1.Overlay
	var names []string
	for n := range all {
		o := &all[n]
		if (p.allNamespaces || o.Namespace == namespace) && path.Clean(o.Spec.Path) == at.path {
			found, names = append(found, o), append(names, client.ObjectKeyFromObject(o).String())
		}
	}
	switch {
	case len(found) == 1:
		return found[0].DeepCopy(), nil
	case len(found) > 1:
		return nil, fmt.Errorf("several Overlays have spec.path %s: %s; choose one with --overlay NAME -n NAMESPACE", at.path, strings.Join(names, ", "))
	case p.allNamespaces:
		return nil, fmt.Errorf("no Overlay has spec.path %s: name the one to plan for with --overlay NAME -n NAMESPACE", at.path)
	}
	return nil, fmt.Errorf("no Overlay in namespace %s has spec.path %s: look in all namespaces with -A, or name the one to plan for with --overlay NAME", namespace, at.path)
}

// choose takes an Overlay out of all.
func choose(all []v1alpha1.Overlay, key types.NamespacedName) (*v1alpha1.Overlay, error) {
	for n := range all {
		if client.ObjectKeyFromObject(&all[n]) == key {
			return all[n].DeepCopy(), nil
		}
	}
	hint := ""
	if info, err := os.Stat(key.Name); err == nil && info.IsDir() {
		hint = fmt.Sprintf("; for the directory, write ./%s", key.Name)
	}
	return nil, fmt.Errorf("there is no Overlay %s in namespace %s: see what there is with sluice get overlays -A%s", key.Name, key.Namespace, hint)
}

// narrow lists the Overlays of one namespace, for those who may not list all: then those of others are
// not foreseen.
type narrow struct {
	client.Reader
	namespace string
}

// List lists objects.
func (n narrow) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	err := n.Reader.List(ctx, list, options...)
	if _, overlays := list.(*v1alpha1.OverlayList); overlays && apierrors.IsForbidden(err) {
		err = n.Reader.List(ctx, list, append(slices.Clone(options), client.InNamespace(n.namespace))...)
	}
	return err
}

// syncer makes plans with the rights of whoever asks; done ends its renders.
func (p *planning) syncer() (syncer *sync.Syncer, done func(), err error) {
	config, err := p.access.config()
	if err != nil {
		return nil, nil, err
	}
	target, err := cluster.New(config, func(agent.Owner) {})
	if err != nil {
		return nil, nil, err
	}
	renders, err := newPool(agentFlags{renders: 2, limits: p.limits})
	if err != nil {
		return nil, nil, err
	}
	return &sync.Syncer{
		Cluster: target, Inventories: &record.Inventories{Reader: p.client}, Renders: renders,
		Limits: execute.Limits{Parallel: sideBySide, Request: time.Minute},
	}, renders.Close, nil
}

// preview makes the plan.
func (p *planning) preview(ctx context.Context, o *v1alpha1.Overlay, all []v1alpha1.Overlay, source sync.Source) (agent.Plan, error) {
	syncer, done, err := p.syncer()
	if err != nil {
		return agent.Plan{}, err
	}
	defer done()
	made, err := syncer.Preview(ctx, cluster.Yours, o, all, source, time.Now())
	if e, ok := errors.AsType[*render.Error](err); ok {
		return made.Plan, fmt.Errorf("Overlay %s cannot be rendered: %w", client.ObjectKeyFromObject(o), e)
	}
	return made.Plan, err
}

func (p *planning) print(o *v1alpha1.Overlay, made agent.Plan) error {
	if p.output != "text" {
		return encode(p.out, p.output, planOf(o, made))
	}
	if o.Spec.Suspend {
		fmt.Fprintf(p.remarks, "The Overlay is suspended: nothing of this happens until it is resumed.\n")
	}
	from := "the work tree"
	if made.Revision.Commit != "" {
		from = agent.Short(made.Revision.String())
	}
	if _, err := fmt.Fprintf(p.out, "Overlay %s from %s:\n", client.ObjectKeyFromObject(o), from); err != nil {
		return err
	}
	color := colorful(p.out)
	for line := range strings.Lines(made.String()) {
		if _, err := io.WriteString(p.out, tint(color, line)); err != nil {
			return err
		}
	}
	return nil
}

// tint paints a line of a plan by the sign it begins with.
func tint(color bool, line string) string {
	text, trimmed := strings.TrimRight(line, "\n"), strings.TrimSpace(line)
	paints := map[string]string{"+ ": green, "- ": red, "! ": red, "~ ": yellow, "± ": yellow}
	for sign, paint := range paints {
		if color && strings.HasPrefix(trimmed, sign) {
			return paint + text + plain + "\n"
		}
	}
	return line
}

// printedPlan is a plan as JSON.
type printedPlan struct {
	Overlay    string             `json:"overlay"`
	Revision   string             `json:"revision,omitempty"`
	Summary    string             `json:"summary"`
	Digest     string             `json:"digest"`
	Changes    []printedChange    `json:"changes"`
	Violations []printedViolation `json:"violations"`
}

type printedObject struct {
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

type printedChange struct {
	Verb   agent.Verb     `json:"verb"`
	Object printedObject  `json:"object"`
	Reason string         `json:"reason,omitempty"`
	Fields []printedField `json:"fields,omitempty"`
}

type printedField struct {
	Path string `json:"path"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
}

type printedViolation struct {
	Verb    agent.Verb    `json:"verb"`
	Object  printedObject `json:"object"`
	Message string        `json:"message"`
}

func planOf(o *v1alpha1.Overlay, made agent.Plan) printedPlan {
	printed := printedPlan{
		Overlay: client.ObjectKeyFromObject(o).String(), Revision: made.Revision.String(),
		Summary: made.Summary(), Digest: made.Digest(), Changes: []printedChange{}, Violations: []printedViolation{},
	}
	for _, c := range made.Changes {
		if c.Verb == agent.Keep {
			continue
		}
		change := printedChange{Verb: c.Verb, Object: printedObject(c.Ref), Reason: c.Reason}
		for _, f := range c.Fields {
			change.Fields = append(change.Fields, printedField(f))
		}
		printed.Changes = append(printed.Changes, change)
	}
	for _, v := range made.Violations {
		printed.Violations = append(printed.Violations, printedViolation{Verb: v.Verb, Object: printedObject(v.Ref), Message: v.Message})
	}
	return printed
}
