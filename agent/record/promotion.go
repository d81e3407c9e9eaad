package record

import (
	"context"
	"fmt"
	"slices"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// Promotions reads and writes the Promotions of Models. What was written is known at once, also
// where the cache is behind.
type Promotions struct {
	// Cache has the Promotions, with the index Index: namespace/model.
	Cache client.Reader
	Index string
	// Live reads past the cache.
	Live   client.Reader
	Client client.Client

	kept kept[v1alpha1.Promotion, *v1alpha1.Promotion]
}

// Of returns the Promotions of a Model by stage, the newest first. Those of a Model that had the name
// before are not its own: they are about to be collected.
func (p *Promotions) Of(ctx context.Context, m *v1alpha1.Model) (map[string][]v1alpha1.Promotion, error) {
	var list v1alpha1.PromotionList
	if err := p.Cache.List(ctx, &list, client.InNamespace(m.Namespace), client.MatchingFields{p.Index: m.Name}); err != nil {
		return nil, err
	}
	own := slices.DeleteFunc(list.Items, func(o v1alpha1.Promotion) bool { return !owns(m, &o) })
	all := p.kept.merge(client.ObjectKeyFromObject(m), own)
	byStage := map[string][]v1alpha1.Promotion{}
	for _, o := range all {
		byStage[o.Spec.Stage] = append(byStage[o.Spec.Stage], o)
	}
	for _, of := range byStage {
		slices.SortFunc(of, func(a, b v1alpha1.Promotion) int { return int(b.Spec.Number - a.Spec.Number) })
	}
	return byStage, nil
}

// owns tells whether a record is one of this very owner, and not of an earlier one of its name.
func owns(owner, record client.Object) bool {
	return slices.ContainsFunc(record.GetOwnerReferences(), func(ref metav1.OwnerReference) bool { return ref.UID == owner.GetUID() })
}

// Create makes a Promotion of a Model. One that is there already under its name, because the cache
// was behind, is returned as it is.
func (p *Promotions) Create(ctx context.Context, m *v1alpha1.Model, o *v1alpha1.Promotion) (*v1alpha1.Promotion, error) {
	if err := controllerutil.SetOwnerReference(m, o, p.Client.Scheme()); err != nil {
		return nil, err
	}
	err := p.Client.Create(ctx, o, client.FieldOwner(v1alpha1.FieldManager))
	if apierrors.IsAlreadyExists(err) {
		wanted := o.Spec
		if err = p.Live.Get(ctx, client.ObjectKeyFromObject(o), o); err == nil && (!owns(m, o) || o.Spec.Model != wanted.Model || o.Spec.Stage != wanted.Stage) {
			return nil, fmt.Errorf("there is a Promotion %s that is no record of this Model: delete it", o.Name)
		}
	}
	if err != nil {
		return nil, err
	}
	p.keep(o)
	return o, nil
}

// Has tells whether a Model has a Promotion to a stage under a name, also where the cache is behind.
func (p *Promotions) Has(ctx context.Context, m *v1alpha1.Model, stage, name string) (bool, error) {
	if name == "" {
		return false, nil
	}
	var o v1alpha1.Promotion
	err := p.Live.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: name}, &o)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil && owns(m, &o) && o.Spec.Stage == stage && o.DeletionTimestamp.IsZero(), err
}

// Write puts a status on record: one patch against the version that was read, and none if nothing
// changed. It returns the Promotion as it is then.
func (p *Promotions) Write(ctx context.Context, before, after *v1alpha1.Promotion) (*v1alpha1.Promotion, error) {
	if equality.Semantic.DeepEqual(before.Status, after.Status) {
		return before, nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := p.Client.Status().Patch(ctx, after, patch, client.FieldOwner(v1alpha1.FieldManager)); err != nil {
		if apierrors.IsNotFound(err) {
			p.Gone(before)
		}
		return nil, err
	}
	p.keep(after)
	return after, nil
}

// Delete removes one that is not kept any longer.
func (p *Promotions) Delete(ctx context.Context, o *v1alpha1.Promotion) error {
	return client.IgnoreNotFound(p.Client.Delete(ctx, o, client.Preconditions{UID: &o.UID}))
}

func (p *Promotions) keep(o *v1alpha1.Promotion) { p.kept.keep(modelOf(o), o) }

// Gone forgets a Promotion that was deleted.
func (p *Promotions) Gone(o *v1alpha1.Promotion) { p.kept.gone(modelOf(o), o.Name) }

// Forget drops what is remembered of a Model.
func (p *Promotions) Forget(model types.NamespacedName) { p.kept.forget(model) }

// modelOf names the Model that a Promotion is a record of.
func modelOf(o *v1alpha1.Promotion) types.NamespacedName {
	return types.NamespacedName{Namespace: o.Namespace, Name: o.Spec.Model}
}
