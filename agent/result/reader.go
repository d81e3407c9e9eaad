package result

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Source says where a result is found.
type Source struct {
	// Namespace of the Retraining, in which Secrets and ConfigMaps are.
	Namespace string
	// Model that was trained.
	Model string
	// Spec is that of the Retraining, with its texts filled in.
	Spec v1alpha1.ResultSpec
	// Outputs of the run, as its engine says.
	Outputs map[string]string
	// Message is the termination message of the pod of the run.
	Message string
}

// Reader reads results.
type Reader struct {
	Inspector *artifact.Inspector
	// Live reads Secrets and ConfigMaps past the cache.
	Live client.Reader
}

// Read reads the document, and then the artifact, which takes as long as its size asks for: the context has to
// bound it. With an error, the document is there as far as it could be read.
func (r Reader) Read(ctx context.Context, s Source) (Result, error) {
	d, ref, err := r.document(ctx, s)
	if err != nil {
		return Result{}, err
	}
	if d.Model != "" && d.Model != s.Model {
		return Result{Document: d}, wrongf("%s: it names another model, %s, and this is a run of %s: have the run write what it has trained, to a place of its own", s.place(), shown(d.Model), s.Model)
	}
	d.Model = s.Model
	found, err := r.artifact(ctx, s, d, ref)
	return Result{Document: d, Artifact: found}, err
}

// place names where the document is, for errors.
func (s Source) place() string {
	switch spec := s.Spec; {
	case spec.Artifact != nil:
		return shown(spec.Artifact.URI)
	case spec.Outputs != nil:
		return "the outputs of the run"
	case spec.ConfigMap != "":
		return "result.json of ConfigMap " + shown(spec.ConfigMap)
	}
	return "the termination message of the run"
}

// document reads the document, and says which Secret has the credentials for the artifact.
func (r Reader) document(ctx context.Context, s Source) (Document, *meta.LocalObjectReference, error) {
	switch spec := s.Spec; {
	case spec.Artifact != nil:
		d, err := r.fromStore(ctx, s)
		return d, spec.Artifact.SecretRef, err
	case spec.Outputs != nil:
		d, err := FromOutputs(*spec.Outputs, s.Outputs)
		if err != nil {
			return d, nil, wrongf("%s: %w", s.place(), err)
		}
		return d, spec.Outputs.SecretRef, nil
	case spec.ConfigMap != "":
		d, err := r.fromConfigMap(ctx, s)
		return d, spec.SecretRef, err
	case spec.TerminationMessage:
		d, err := fromMessage(s)
		return d, spec.SecretRef, err
	}
	return Document{}, nil, wrongf("spec.result says nothing: give it one of artifact, outputs, configMap and terminationMessage")
}

func (r Reader) fromStore(ctx context.Context, s Source) (Document, error) {
	// The URI was filled in: it is said that it is none before a Secret is read for it.
	if err := artifact.Check(s.Spec.Artifact.URI); err != nil {
		return Document{}, ofStore("spec.result.artifact.uri: ", err)
	}
	credentials, err := artifact.CredentialsOf(ctx, r.Live, s.Namespace, s.Spec.Artifact.SecretRef)
	if err != nil {
		return Document{}, ofStore("", err)
	}
	content, err := r.Inspector.Read(ctx, s.Spec.Artifact.URI, credentials, largest)
	if err != nil {
		return Document{}, ofStore("the result ", err)
	}
	return parse(s, content)
}

// key of a ConfigMap that has the document.
const key = "result.json"

func (r Reader) fromConfigMap(ctx context.Context, s Source) (Document, error) {
	name := s.Spec.ConfigMap
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return Document{}, wrongf("spec.result.configMap is %q, which is no name of a ConfigMap: use lower-case letters, digits, dashes and dots", shown(name))
	}
	var found corev1.ConfigMap
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, &found)
	if apierrors.IsNotFound(err) {
		return Document{}, missingf("ConfigMap %s, which is to have the result, is not there: have the run create it in this namespace", name)
	}
	if err != nil {
		return Document{}, ofServer("ConfigMap "+name, err)
	}
	text, is := found.Data[key]
	if !is {
		return Document{}, missingf("ConfigMap %s has no key %s: have the run write the result there", name, key)
	}
	return parse(s, []byte(text))
}

// longestMessage is what Kubernetes keeps of a termination message, in bytes.
const longestMessage = 4096

func fromMessage(s Source) (Document, error) {
	if s.Message == "" {
		return Document{}, missingf("the pod of the run has left no termination message: have its container write the result to /dev/termination-log")
	}
	d, err := parse(s, []byte(s.Message))
	if err != nil && len(s.Message) >= longestMessage {
		return d, wrongf("%w; Kubernetes cuts it off after %d bytes, so write a longer one to a store or a ConfigMap", err, longestMessage)
	}
	return d, err
}

func parse(s Source, content []byte) (Document, error) {
	d, err := Parse(content)
	if err != nil {
		return d, wrongf("%s: %w", s.place(), err)
	}
	return d, nil
}

// artifact reads what a document names.
func (r Reader) artifact(ctx context.Context, s Source, d Document, ref *meta.LocalObjectReference) (v1alpha1.Artifact, error) {
	said := v1alpha1.Artifact{URI: d.URI, Digest: d.Digest, Size: d.Size, SecretRef: ref}
	if !artifact.Verified(d.URI) {
		return said, nil
	}
	credentials, err := artifact.CredentialsOf(ctx, r.Live, s.Namespace, ref)
	if err != nil {
		return said, ofStore("", err)
	}
	found, err := r.Inspector.Digest(ctx, d.URI, credentials)
	switch {
	case err != nil:
		return said, ofStore("the artifact ", err)
	case d.Size != nil && *d.Size != found.Size:
		err = fmt.Errorf("it has %d bytes, and the result says %d", found.Size, *d.Size)
	case d.Digest != "" && d.Digest != found.Digest:
		err = fmt.Errorf("its digest is %s, and the result says %s", found.Digest, shown(d.Digest))
	default:
		return v1alpha1.Artifact{URI: found.URI, Digest: found.Digest, Size: &found.Size, SecretRef: ref}, nil
	}
	return said, wrongf("the artifact %s: %w: have the run say what sluice model digest says of what it has written, or leave it out", found.URI, err)
}
