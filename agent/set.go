package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Object is one object as it is to be applied: its name, where it comes from, and the
// exact JSON that is sent. Objects are values; nobody changes JSON in place.
type Object struct {
	Ref     Ref
	Version string // version within the API group, such as "v1"
	// Origin is the file in the repository that declares the object, or the kustomization
	// that generates it; empty if unknown.
	Origin string
	// Digest is the first 16 hexadecimal digits of the SHA-256 of what is applied: JSON, less
	// what is ignored.
	Digest string
	// Options are what the object's sluice.dev annotations ask for.
	Options Options
	// Refused says why the object must not be applied as it is written; empty for most. It is
	// part of the Set all the same, so that it is not taken for one that left Git.
	Refused string `json:",omitempty"`
	// Ignored are JSON pointers to fields that are left to somebody else.
	Ignored []string
	// JSON is the object in canonical form: keys sorted, no insignificant space.
	JSON []byte
}

// GroupVersionKind returns the API version and kind the object is written in.
func (o Object) GroupVersionKind() schema.GroupVersionKind {
	return o.Ref.GroupKind().WithVersion(o.Version)
}

// LeavingOut returns the object with fields left to somebody else. Another digest comes with
// other fields: what is to be applied is no longer the same.
func (o Object) LeavingOut(pointers []string) Object {
	if len(pointers) == 0 {
		return o
	}
	o.Ignored = slices.Compact(slices.Sorted(slices.Values(pointers)))
	o.Digest = DigestOf([]byte(o.Digest + " without " + strings.Join(o.Ignored, " ")))
	return o
}

// Options are what the annotations of one object ask for.
type Options struct {
	// ForceFields takes over fields that other managers own (sluice.dev/force: fields).
	ForceFields bool `json:",omitempty"`
	// ForceReplace deletes and recreates the object when an immutable field changes
	// (sluice.dev/force: replace).
	ForceReplace bool `json:",omitempty"`
	// ForceOwner takes the object over from another owner (sluice.dev/force: owner).
	ForceOwner bool `json:",omitempty"`
	// ApplyOnce creates the object if it is missing and never changes it afterwards
	// (sluice.dev/apply: once).
	ApplyOnce bool `json:",omitempty"`
	// Ignore leaves the object alone altogether: neither applied nor pruned
	// (sluice.dev/apply: never).
	Ignore bool `json:",omitempty"`
}

// Set is what one overlay at one revision wants the cluster to hold: objects sorted by
// Ref, no two with the same one.
type Set struct {
	Objects []Object
	// Digest is the SHA-256, in hexadecimal, over all objects' digests: two sets with the
	// same digest ask for the same.
	Digest string
}

// NewSet sorts the objects and computes the digest. The caller has made sure that no two
// objects share a Ref.
func NewSet(objects []Object) Set {
	objects = slices.Clone(objects)
	slices.SortFunc(objects, func(a, b Object) int { return a.Ref.Compare(b.Ref) })
	h := sha256.New()
	for _, o := range objects {
		h.Write([]byte(o.Ref.String()))
		h.Write([]byte{0})
		h.Write([]byte(o.Digest))
		h.Write([]byte{0})
	}
	return Set{Objects: objects, Digest: hex.EncodeToString(h.Sum(nil))}
}

// Find looks an object up.
func (s Set) Find(ref Ref) (Object, bool) {
	n, found := slices.BinarySearchFunc(s.Objects, ref, func(o Object, r Ref) int { return o.Ref.Compare(r) })
	if !found {
		return Object{}, false
	}
	return s.Objects[n], true
}

// DigestOf is the digest of an object's canonical JSON.
func DigestOf(json []byte) string {
	sum := sha256.Sum256(json)
	return hex.EncodeToString(sum[:8])
}
