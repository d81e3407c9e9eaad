package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/engine/kfp"
	"github.com/sluice-dev/sluice/agent/engine/pipelines"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// job is one delivery.
type job struct {
	pipeline *v1alpha1.Pipeline
	account  cluster.Account
	content  string
	wish     wish
	first    bool // since the agent works on it
}

// outcome is what a delivery came to.
type outcome struct {
	wish    wish
	digest  string
	version kfp.Version
	pruned  []string
	// unpruned is why old versions are not deleted.
	unpruned error
	// still: what is on record is of the same content.
	still bool
}

// place is where pipelines are kept.
type place interface {
	Deliver(ctx context.Context, namespace, name string, p kfp.Package) (kfp.Version, error)
	Prune(ctx context.Context, p kfp.Pipeline, keep int, inUse []string) ([]kfp.Version, error)
}

// content reads the package. The Pipeline is told when it changes.
func (d *Deliverer) content(ctx context.Context, m *memory, j job) (string, error) {
	session, err := d.Cluster.As(j.account)
	if err != nil {
		return "", err
	}
	name, from := client.ObjectKeyFromObject(j.pipeline), j.pipeline.Spec.KFP.Package
	if m.session != nil && m.session != session {
		m.session.Leave(owner(name))
	}
	m.session = session
	ref := agent.Ref{Kind: "ConfigMap", Namespace: name.Namespace, Name: from.ConfigMapRef.Name}
	found, err := session.Follow(ctx, owner(name), []agent.Ref{ref})
	if err != nil {
		return "", fmt.Errorf("the package cannot be read: %w", err)
	}
	data, there := found[ref]
	if !there {
		return "", &kfp.Error{Reason: kfp.Missing, Message: fmt.Sprintf("%s is not there, which has the package: create it, or correct spec.kfp.package.configMapRef", ref)}
	}
	key := cmp.Or(from.Key, "pipeline.yaml")
	content, there := data[key]
	if !there {
		return "", &kfp.Error{Reason: kfp.Missing, Message: fmt.Sprintf("%s has no text at the key %s, but %s: correct spec.kfp.package.key", ref, key, cmp.Or(strings.Join(slices.Sorted(maps.Keys(data)), ", "), "none"))}
	}
	return content, nil
}

// deliver has the package be a version, and deletes old ones.
func (d *Deliverer) deliver(ctx context.Context, j job) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, deliverTime)
	defer cancel()
	made, p := outcome{wish: j.wish}, j.pipeline
	pkg, err := kfp.ReadPackage([]byte(j.content))
	if err != nil {
		return made, err
	}
	made.digest = pkg.Digest
	made.still = answered(p) && p.Status.Digest == pkg.Digest && p.Status.Version == pkg.Version
	if made.still && j.first && ready(p) && p.Status.LastHandledReconcileAt == j.wish.requested {
		made.version = kfp.Version{ID: p.Status.VersionID, PipelineID: p.Status.PipelineID, Name: p.Status.Version}
		return made, nil // it was there when the agent ended, and that is not long ago
	}
	to, done, err := d.place(ctx, j)
	if err != nil {
		return made, err
	}
	defer done()
	namespace, name := cmp.Or(p.Spec.KFP.Namespace, p.Namespace), pipelines.NameOf(p)
	if made.version, err = to.Deliver(ctx, namespace, name, pkg); err != nil {
		return made, err
	}
	made.pruned, made.unpruned = d.prune(ctx, to, kfp.Pipeline{ID: made.version.PipelineID, Namespace: namespace, Name: name}, made.version, p)
	return made, nil
}

func ready(p *v1alpha1.Pipeline) bool {
	return meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ReadyCondition)
}

// prune deletes the versions that nobody needs.
func (d *Deliverer) prune(ctx context.Context, to place, of kfp.Pipeline, present kfp.Version, p *v1alpha1.Pipeline) ([]string, error) {
	inUse, err := d.inUse(ctx, client.ObjectKeyFromObject(p))
	if err != nil {
		return nil, err
	}
	// The present one may be older than others: a commit was taken back.
	gone, err := to.Prune(ctx, of, max(int(p.Spec.KFP.KeepVersions), 1)-1, append(inUse, present.ID, present.Name))
	var names []string
	for _, v := range gone {
		names = append(names, v.Name)
	}
	return names, err
}

// inUse are the versions that runs have or are to have, and those of other Pipelines. It is looked at in all
// namespaces, for several Pipelines may be of one pipeline: versions are named by their content, so that
// one too many does no harm.
func (d *Deliverer) inUse(ctx context.Context, of types.NamespacedName) ([]string, error) {
	var names []string
	var all v1alpha1.RetrainingList
	if err := d.Cache.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	for _, r := range all.Items {
		if run := r.Spec.Run.KFP; run != nil && run.Version != "" {
			names = append(names, run.Version)
		}
	}
	var runs v1alpha1.RetrainingRunList
	if err := d.Cache.List(ctx, &runs, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	for _, run := range runs.Items {
		if run.Status.Phase.Ended() {
			continue
		}
		for _, attempt := range run.Status.Attempts {
			if attempt.KFP != nil && attempt.KFP.Version != "" {
				names = append(names, attempt.KFP.Version)
			}
		}
	}
	var others v1alpha1.PipelineList
	if err := d.Cache.List(ctx, &others, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	for _, p := range others.Items {
		if p.Status.Version != "" && client.ObjectKeyFromObject(&p) != of {
			names = append(names, p.Status.Version)
		}
	}
	return names, nil
}

// place is where the versions of a Pipeline go. Done has to be called when they are there.
func (d *Deliverer) place(ctx context.Context, j job) (to place, done func(), err error) {
	spec := j.pipeline.Spec.KFP
	rest := d.Servers.As(j.account, spec.Address)
	if spec.Mode == v1alpha1.PipelineREST {
		return rest, func() {}, nil
	}
	session, err := d.Cluster.As(j.account)
	if err != nil {
		return nil, nil, err
	}
	_, _, err = session.Resource(kfp.NativeVersion)
	switch {
	case meta.IsNoMatchError(err) && spec.Mode == v1alpha1.PipelineKubernetes:
		return nil, nil, &kfp.Error{Reason: kfp.Missing, Message: fmt.Sprintf("the cluster does not know the kind %s of %s: install Kubeflow Pipelines so that it keeps pipelines as objects, or write spec.kfp.mode: REST", kfp.NativeVersion.Kind, kfp.NativeVersion.GroupVersion())}
	case meta.IsNoMatchError(err):
		return rest, func() {}, nil
	case err != nil:
		return nil, nil, fmt.Errorf("the API server does not say whether it knows the kinds of Kubeflow Pipelines: %w", err)
	}
	if spec.Mode == "" {
		// The kinds are also where pipelines are kept in a database.
		if objects, err := rest.KeepsObjects(ctx); err != nil || !objects {
			return rest, func() {}, err
		}
	}
	return d.native(ctx, session, j)
}

// native is where pipelines are objects. Who has no account of their own reaches no other namespace.
func (d *Deliverer) native(ctx context.Context, session *cluster.Session, j job) (place, func(), error) {
	if other := j.pipeline.Spec.KFP.Namespace; other != "" && other != j.pipeline.Namespace && j.account == (cluster.Account{}) {
		return nil, nil, &kfp.Error{Reason: kfp.Invalid, Message: fmt.Sprintf("spec.kfp.namespace: objects in another namespace, %s, are made in the name of an account alone: name one in spec.serviceAccountName that may create them there", other)}
	}
	config := d.Cluster.ConfigAs(j.account)
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(kfp.NativePipeline, meta.RESTScopeNamespace)
	mapper.Add(kfp.NativeVersion, meta.RESTScopeNamespace)
	objects, err := client.New(config, client.Options{Scheme: runtime.NewScheme(), Mapper: mapper})
	if err != nil {
		return nil, nil, err
	}
	done, err := session.Turn(ctx)
	if err != nil {
		return nil, nil, err
	}
	return kfp.Native{Kubernetes: objects}, done, nil
}

// temporary tells whether the same may go well later.
func temporary(err error) bool {
	if e, is := errors.AsType[*cluster.Error](err); is {
		return !e.Class.Permanent()
	}
	return kfp.Temporary(err)
}

// reasonOf is an error in the word of a condition.
func reasonOf(err error) string {
	if e, is := errors.AsType[*cluster.Error](err); is {
		return string(e.Class)
	}
	return cmp.Or(string(kfp.ReasonOf(err)), v1alpha1.DeliveryFailedReason)
}

func stamp(at time.Time) *metav1.Time {
	t := metav1.NewTime(at.UTC().Truncate(time.Second))
	return &t
}
