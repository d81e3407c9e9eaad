package kfp

import (
	"context"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Kinds in which Kubeflow Pipelines keeps pipelines in Kubernetes-native mode.
var (
	NativePipeline = schema.GroupVersionKind{Group: "pipelines.kubeflow.org", Version: "v2beta1", Kind: "Pipeline"}
	NativeVersion  = schema.GroupVersionKind{Group: "pipelines.kubeflow.org", Version: "v2beta1", Kind: "PipelineVersion"}
)

// Native delivers pipelines as objects of Kubernetes. The ids are their UIDs: runs are made of them by a
// Client as of others.
type Native struct {
	// Kubernetes is asked in the name of who delivers.
	Kubernetes client.Client
}

// FindPipeline finds a pipeline by its name.
func (n Native) FindPipeline(ctx context.Context, namespace, name string) (Pipeline, error) {
	o, err := n.get(ctx, NativePipeline, namespace, name)
	if err != nil {
		return Pipeline{}, about(err, "the pipeline %s/%s", namespace, name)
	}
	return Pipeline{ID: string(o.GetUID()), Namespace: namespace, Name: name}, nil
}

// FindVersion finds a version of a pipeline by its name, or the newest if that is empty.
func (n Native) FindVersion(ctx context.Context, p Pipeline, name string) (Version, error) {
	if name != "" && ours.MatchString(name) {
		return n.findOurs(ctx, p, name)
	}
	all, err := n.versions(ctx, p)
	if err != nil {
		return Version{}, err
	}
	newest := Version{}
	for _, v := range all {
		if name == "" && v.CreatedAt.After(newest.CreatedAt) || v.Name == name {
			newest = v
		}
	}
	if newest.ID == "" {
		return Version{}, sayf(Missing, "the pipeline %s/%s has no such version: it was deleted, or is not delivered yet", p.Namespace, p.Name)
	}
	return newest, nil
}

func (n Native) findOurs(ctx context.Context, p Pipeline, version string) (Version, error) {
	name := nativeName(p.Name, version)
	o, err := n.get(ctx, NativeVersion, p.Namespace, name)
	if err == nil && pipelineOf(o) != p.Name {
		err = sayf(Taken, "it is there, and of another pipeline: delete it")
	}
	if err != nil {
		return Version{}, about(err, "the version %s/%s", p.Namespace, name)
	}
	return nativeVersion(o, p), nil
}

// Deliver has a pipeline have a version of this content, as Client.Deliver does.
func (n Native) Deliver(ctx context.Context, namespace, name string, p Package) (Version, error) {
	if problems := validation.IsDNS1123Subdomain(nativeName(name, p.Version)); len(problems) > 0 {
		return Version{}, sayf(Invalid, "%q cannot be the name of a pipeline in Kubernetes: write one of small letters, digits, - and ., of at most %d characters",
			printable(name), validation.DNS1123SubdomainMaxLength-len(nativeName("", p.Version)))
	}
	pipeline, err := ensure(
		func() (Pipeline, error) { return n.FindPipeline(ctx, namespace, name) },
		func() error { return n.create(ctx, nativePipelineObject(namespace, name)) })
	if err != nil {
		return Version{}, err
	}
	object, err := nativeVersionObject(pipeline, p)
	if err != nil {
		return Version{}, err
	}
	return ensure(
		func() (Version, error) { return n.findOurs(ctx, pipeline, p.Version) },
		func() error { return n.create(ctx, object) })
}

// Prune deletes versions that were delivered, as Client.Prune does. Names say enough: what is in the
// objects can be large, and is not read.
func (n Native) Prune(ctx context.Context, p Pipeline, keep int, inUse []string) ([]Version, error) {
	all, err := list(url.Values{}, func(q url.Values) (page[Version], error) {
		objects := &metav1.PartialObjectMetadataList{}
		objects.SetGroupVersionKind(NativeVersion)
		err := n.Kubernetes.List(ctx, objects, client.InNamespace(p.Namespace), client.Limit(pageSize), client.Continue(q.Get("page_token")))
		result := page[Version]{next: objects.Continue}
		for i := range objects.Items {
			result.items = append(result.items, nativeVersion(&objects.Items[i], p))
		}
		return result, refused(err)
	})
	if err != nil {
		return nil, about(err, "the versions of the pipeline %s/%s", p.Namespace, p.Name)
	}
	var gone []Version
	for _, v := range stale(all, keep, inUse) {
		o := object(NativeVersion, p.Namespace, nativeName(p.Name, v.Name))
		uid := types.UID(v.ID)
		err := refused(client.IgnoreNotFound(n.Kubernetes.Delete(ctx, o, client.Preconditions{UID: &uid})))
		if err != nil {
			return gone, about(err, "the version %s/%s cannot be deleted", p.Namespace, o.GetName())
		}
		gone = append(gone, v)
	}
	return gone, nil
}

func (n Native) get(ctx context.Context, kind schema.GroupVersionKind, namespace, name string) (*unstructured.Unstructured, error) {
	o := object(kind, namespace, name)
	return o, refused(n.Kubernetes.Get(ctx, client.ObjectKeyFromObject(o), o))
}

func (n Native) create(ctx context.Context, o *unstructured.Unstructured) error {
	return about(refused(n.Kubernetes.Create(ctx, o, client.FieldOwner("sluice"))), "the %s %s/%s cannot be created", o.GetKind(), o.GetNamespace(), o.GetName())
}

// versions are all of a pipeline, by whatever name. They are read a few at a time, for each can be large.
func (n Native) versions(ctx context.Context, p Pipeline) ([]Version, error) {
	all, err := list(url.Values{}, func(q url.Values) (page[Version], error) {
		objects := &unstructured.UnstructuredList{}
		objects.SetGroupVersionKind(NativeVersion)
		err := n.Kubernetes.List(ctx, objects, client.InNamespace(p.Namespace), client.Limit(nativePage), client.Continue(q.Get("page_token")))
		result := page[Version]{next: objects.GetContinue()}
		for i := range objects.Items {
			if o := &objects.Items[i]; pipelineOf(o) == p.Name {
				result.items = append(result.items, nativeVersion(o, p))
			}
		}
		return result, refused(err)
	})
	return all, about(err, "the versions of the pipeline %s/%s", p.Namespace, p.Name)
}

// nativePage is how many versions are read at once.
const nativePage = 20

func object(kind schema.GroupVersionKind, namespace, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(kind)
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

// nativeName is the name of a version's object: it is one of a namespace, not of a pipeline.
func nativeName(pipeline, version string) string { return pipeline + "-" + version }

func nativePipelineObject(namespace, name string) *unstructured.Unstructured {
	o := object(NativePipeline, namespace, name)
	o.Object["spec"] = map[string]any{"displayName": name, "description": delivered}
	return o
}

// nativeVersionObject is a version. Nothing but its displayName could ever be changed.
func nativeVersionObject(p Pipeline, pkg Package) (*unstructured.Unstructured, error) {
	spec := map[string]any{"pipelineName": p.Name, "displayName": pkg.Version, "description": delivered}
	for field, data := range map[string][]byte{"pipelineSpec": pkg.Spec, "platformSpec": pkg.Platform} {
		if data == nil {
			continue
		}
		document := map[string]any{}
		if err := json.Unmarshal(data, &document); err != nil {
			return nil, err
		}
		spec[field] = document
	}
	o := object(NativeVersion, p.Namespace, nativeName(p.Name, pkg.Version))
	o.Object["spec"] = spec
	return o, nil
}

func pipelineOf(o *unstructured.Unstructured) string {
	name, _, _ := unstructured.NestedString(o.Object, "spec", "pipelineName") // another type is none
	return name
}

func nativeVersion(o metav1.Object, p Pipeline) Version {
	name := o.GetName()
	if short, found := strings.CutPrefix(name, nativeName(p.Name, "")); found {
		name = short
	}
	return Version{ID: string(o.GetUID()), PipelineID: p.ID, Name: name, CreatedAt: o.GetCreationTimestamp().Time}
}

// refused sorts an error of Kubernetes.
func refused(err error) error {
	if err == nil {
		return nil
	}
	e := &Error{cause: err, Message: printable(err.Error())}
	switch status := apierrors.ReasonForError(err); {
	case apierrors.IsNotFound(err):
		e.Reason, e.Message = Missing, "it is not there"
	case apierrors.IsAlreadyExists(err), apierrors.IsConflict(err):
		e.Reason = Taken
	case apierrors.IsForbidden(err):
		e.Reason, e.Message = Forbidden, e.Message+": let a Role for the group pipelines.kubeflow.org give the account that verb"
	case apierrors.IsUnauthorized(err):
		e.Reason = Unauthenticated
	case apierrors.IsTooManyRequests(err), apierrors.IsServiceUnavailable(err):
		e.Reason, e.unsure = Overloaded, true
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		e.Reason = Invalid
	case status == metav1.StatusReasonUnknown:
		e.Reason, e.unsure = Unreachable, true
	default:
		e.Reason, e.unsure = Broken, true
	}
	return e
}
