package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Verb is what is done to an object.
type Verb string

const (
	// Create applies an object that is not in the cluster.
	Create Verb = "create"
	// Update applies an object that is in the cluster and differs.
	Update Verb = "update"
	// Replace deletes an object and creates it anew, because an immutable field changes.
	Replace Verb = "replace"
	// Delete removes an object that left Git.
	Delete Verb = "delete"
	// Keep does nothing: the object is as it should be, or is left alone on purpose.
	Keep Verb = "keep"
	// Forget takes an object off the inventory without touching it.
	Forget Verb = "forget"
)

// Field is one difference between the live object and the wanted one. Values are YAML, cut
// to a line; those of Secrets are masked.
type Field struct {
	Path string // for instance spec.template.spec.containers[0].image
	Old  string // empty if the field is new
	New  string // empty if the field goes away
}

// Change is what is to happen to one object, and why.
type Change struct {
	Ref  Ref
	Verb Verb
	// Wave orders the work: lower waves first, and deletes in the reverse order.
	Wave int
	// Reason in words, for instance "changed in Git".
	Reason string
	// Fields that differ, where they are known.
	Fields []Field
	// Object is what to apply; for deletes only Ref and Version are set.
	Object Object
	// UID and Owner of the live object, so that no write hits another one, and no delete one
	// that was handed on. UID is empty if there is none.
	UID   string
	Owner Owner
	// TakeFields: fields that others own now are taken over, because they were ours (drift)
	// or because the object's annotation asks for it.
	TakeFields bool
	// Drifted: the live object was changed by somebody else.
	Drifted bool
}

// Violation is a change that must not be made as things are.
type Violation struct {
	Ref Ref
	// Verb that was refused.
	Verb Verb
	// Message says what is wrong and what to do.
	Message string
	// Unread: the object could not be looked at, so that nothing is known about it.
	Unread bool
	// Waits: it may resolve itself without anybody changing anything.
	Waits bool
	// Class sorts it as an Outcome is sorted; empty for most.
	Class Class
	// Holder is the other Overlay that the object belongs to, where that is what is wrong.
	Holder Owner
	// Heir is the other Overlay that is about to take the object over, where that is waited for.
	Heir Owner
}

// String names the object and says what is wrong.
func (v Violation) String() string { return v.Ref.String() + ": " + v.Message }

// Plan is what has to happen so that the cluster matches a Set. It lists every object,
// also those that are kept, in the order of the work.
type Plan struct {
	Revision   Revision
	Changes    []Change
	Violations []Violation
}

// Count counts the changes with one of the verbs.
func (p Plan) Count(verbs ...Verb) int {
	n := 0
	for _, c := range p.Changes {
		for _, v := range verbs {
			if c.Verb == v {
				n++
			}
		}
	}
	return n
}

// Empty tells that there is nothing to do and nothing was refused.
func (p Plan) Empty() bool {
	return len(p.Violations) == 0 && p.Count(Keep) == len(p.Changes)
}

// Digest names exactly these changes: a plan that was approved can be recognised.
func (p Plan) Digest() string {
	h := sha256.New()
	for _, c := range p.Changes {
		if c.Verb != Keep {
			fmt.Fprintf(h, "%s\x00%s\x00%s\x00%s\x00", c.Verb, c.Ref, c.Object.Digest, c.UID)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// String lists the changes, a line each with the fields below, the refusals, and a summary.
// It is the same in the log, the command line and the golden files.
func (p Plan) String() string {
	var b strings.Builder
	for _, c := range p.Changes {
		if c.Verb == Keep {
			continue
		}
		fmt.Fprintf(&b, "%s %s", sign(c.Verb), c.Ref)
		if c.Reason != "" {
			fmt.Fprintf(&b, "  (%s)", c.Reason)
		}
		b.WriteByte('\n')
		for _, f := range c.Fields {
			b.WriteString("    " + f.String() + "\n")
		}
	}
	for _, v := range p.Violations {
		fmt.Fprintf(&b, "! %s %s: %s\n", v.Verb, v.Ref, v.Message)
	}
	b.WriteString(p.Summary() + "\n")
	return b.String()
}

// Summary counts the changes in one line: "2 to create, 1 to update, 680 unchanged".
func (p Plan) Summary() string {
	var parts []string
	for _, verb := range []Verb{Create, Update, Replace, Delete, Forget} {
		if n := p.Count(verb); n > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", n, verb))
		}
	}
	if n := len(p.Violations); n > 0 {
		parts = append(parts, fmt.Sprintf("%d refused", n))
	}
	parts = append(parts, fmt.Sprintf("%d unchanged", p.Count(Keep)))
	return strings.Join(parts, ", ")
}

// String shows the field as path: old -> new.
func (f Field) String() string {
	switch {
	case f.Old == "":
		return "+ " + f.Path + ": " + f.New
	case f.New == "":
		return "- " + f.Path + ": " + f.Old
	}
	return "~ " + f.Path + ": " + f.Old + " -> " + f.New
}

func sign(v Verb) string {
	switch v {
	case Create:
		return "+ create"
	case Update:
		return "~ update"
	case Replace:
		return "± replace"
	case Delete:
		return "- delete"
	}
	return "  " + string(v)
}
