package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Error is a refusal or failure of the cluster, sorted by what helps against it.
type Error struct {
	Class agent.Class
	// Message says what is wrong and what to do, without naming the object.
	Message string
}

func (e *Error) Error() string { return e.Message }

// ClassOf returns the class of an error of this package, and Internal for any other.
func ClassOf(err error) agent.Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return agent.Internal
}

// explainKind explains why a kind could not be found.
func explainKind(gvk schema.GroupVersionKind, err error) error {
	if meta.IsNoMatchError(err) {
		return &Error{agent.NoKind, fmt.Sprintf("the cluster does not know the kind %s in %s: install its CRD, or let the Overlay that brings it come first with dependsOn",
			gvk.Kind, gvk.GroupVersion())}
	}
	return &Error{agent.Unavailable, fmt.Sprintf("the API group %s does not answer: %s", orCore(gvk.Group), brief(err))}
}

// explainWatch explains why a kind cannot be watched.
func explainWatch(key watchKey, account Account, err error) error {
	switch {
	case apierrors.IsForbidden(err):
		return &Error{agent.Forbidden, fmt.Sprintf("%s may not watch %s: grant it get, list and watch", account, key)}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{agent.Unavailable, fmt.Sprintf("the API server gave no answer about %s within %s", key, syncPatience)}
	case apierrors.IsNotFound(err):
		return &Error{agent.Unavailable, fmt.Sprintf("the cluster does not serve %s as it did; its kinds are asked for anew", key)}
	case apierrors.IsMethodNotSupported(err):
		return &Error{agent.Unavailable, fmt.Sprintf("%s is nothing that can be listed and watched, so it cannot be kept as Git says: take it out of Git", key)}
	}
	return &Error{agent.Unavailable, fmt.Sprintf("the API server cannot list %s: %s", key, brief(err))}
}

// explain turns what the API server said about a write or read into a class and a sentence.
func explain(ref agent.Ref, account Account, err error) error {
	if _, done := errors.AsType[*Error](err); done {
		return err
	}
	class := classify(err)
	return &Error{class, advise(class, ref, account, err)}
}

func classify(err error) agent.Class {
	text := err.Error()
	switch {
	case meta.IsNoMatchError(err):
		return agent.NoKind
	case apierrors.IsConflict(err) && len(conflicts(err)) > 0:
		return agent.Conflict
	case strings.Contains(text, "failed calling webhook"), strings.Contains(text, "conversion webhook"):
		return agent.Unavailable
	case apierrors.HasStatusCause(err, "NamespaceTerminating"):
		return agent.NoNamespace
	case strings.Contains(text, "admission webhook") && strings.Contains(text, "denied the request"):
		return agent.Invalid // whatever code the webhook gave
	case apierrors.IsNotFound(err) && missingNamespace(err):
		return agent.NoNamespace
	case apierrors.IsNotFound(err):
		return agent.NoKind
	case apierrors.IsForbidden(err) && exceedsQuota.MatchString(text):
		return agent.Waiting
	case apierrors.IsForbidden(err) && (violatesPodSecurity(text) || violatesPolicy(text) || lacksRequests.MatchString(text)):
		return agent.Invalid
	case apierrors.IsForbidden(err):
		return agent.Forbidden
	case apierrors.IsRequestEntityTooLargeError(err), strings.Contains(text, "request is too large"), strings.Contains(text, "trying to send message larger than max"),
		strings.Contains(text, "may not be more than 262144 bytes"), strings.Contains(text, "may not be more than 1048576 bytes"): // annotations, data
		return agent.TooLarge
	case apierrors.IsInvalid(err) && len(immutableFields(err)) > 0:
		return agent.Immutable
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), strings.Contains(text, "failed to create typed patch object"),
		strings.Contains(text, "unable to convert unstructured object"):
		return agent.Invalid
	case apierrors.IsConflict(err):
		return agent.Waiting
	case apierrors.IsTimeout(err), apierrors.IsServerTimeout(err), apierrors.IsTooManyRequests(err), apierrors.IsServiceUnavailable(err),
		apierrors.IsInternalError(err), errors.Is(err, context.DeadlineExceeded), isNetwork(err):
		return agent.Unavailable
	}
	return agent.Internal
}

func isNetwork(err error) bool {
	_, ok := errors.AsType[net.Error](err)
	return ok
}

// immutable matches the ways in which Kubernetes says that a field cannot change. A rule that
// speaks of oldSelf, and of which no more is known, compares with what the field was.
var immutable = regexp.MustCompile(`(?i)immutable|may not (be )?change|may not be modified|may not add or remove containers|updates to \w+ spec for fields other than|` +
	`forbidden after creation|can ?not (be )?(change|modif|unset)|oldSelf`)

// immutableFields says which fields cannot change, in the API server's words without the values.
func immutableFields(err error) []string {
	var fields []string
	if details := detailsOf(err); details != nil {
		for _, cause := range details.Causes {
			if why := lastWords(cause.Message); immutable.MatchString(why) {
				fields = append(fields, strings.TrimPrefix(cause.Field+": "+why, ": "))
			}
		}
	}
	return fields
}

// lastWords is the end of what the API server says of a field. What comes before may be the
// field's value, which anybody can write anything into.
func lastWords(message string) string {
	words := undiffed(message)
	if n := strings.LastIndex(words, ": "); n >= 0 {
		words = words[n+len(": "):]
	}
	return words
}

// undiffed cuts off a diff of Go structs, which tells users nothing.
func undiffed(message string) string {
	text, _, _ := strings.Cut(message, "@@")
	return strings.Join(strings.Fields(text), " ")
}

// What is forbidden to everybody, in the words of the admission plugins. The first may pass by
// itself.
var (
	exceedsQuota  = regexp.MustCompile(`forbidden: exceeded quota: `)
	lacksRequests = regexp.MustCompile(`forbidden: failed quota: .*must specify`)
)

func violatesPodSecurity(text string) bool {
	return strings.Contains(text, "forbidden: violates PodSecurity ")
}

// violatesPolicy tells of a ValidatingAdmissionPolicy, which may give the reason Forbidden.
func violatesPolicy(text string) bool {
	return strings.Contains(text, "ValidatingAdmissionPolicy '") && strings.Contains(text, "denied request")
}

// aboutRights matches what is forbidden because of who asks: "configmaps "a" is forbidden: User
// "b" cannot patch…", "roles "a" is forbidden: user "b" (groups=…) is attempting to grant…".
var aboutRights = regexp.MustCompile(`(?i)forbidden: user "`)

// unserved tells that the API server knows no such path, which is not the same as that it has
// no such object: the kind, the version or the scope is not what it was.
func unserved(err error) bool {
	return apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// absent tells that there is no such object.
func absent(err error) bool { return apierrors.IsNotFound(err) && !unserved(err) }

func missingNamespace(err error) bool {
	details := detailsOf(err)
	return details != nil && details.Kind == "namespaces"
}

func advise(class agent.Class, ref agent.Ref, account Account, err error) string {
	said, ofSecret := brief(err), ref.Kind == "Secret" && ref.Group == ""
	if ofSecret {
		said = aboutSecret(err)
	}
	switch class {
	case agent.Conflict:
		return strings.Join(conflicts(err), "; ") + fmt.Sprintf(": remove the field from Git, leave it to the other with spec.ignore, or annotate the object with %s: fields to take it over", v1alpha1.ForceAnnotation)
	case agent.Immutable:
		if !ofSecret {
			said = strings.Join(immutableFields(err), "; ")
		}
		return said + fmt.Sprintf(": give the object a new name, or annotate it with %s: replace to have it deleted and recreated", v1alpha1.ForceAnnotation)
	case agent.NoNamespace:
		return fmt.Sprintf("the namespace %s is not there (yet): it is tried again as soon as it is", ref.Namespace)
	case agent.NoKind:
		return "the cluster does not serve this kind (yet): it is tried again as soon as it does"
	case agent.Forbidden:
		if !aboutRights.MatchString(err.Error()) {
			return "it is refused to anybody: " + said
		}
		return fmt.Sprintf("%s may not do this: %s", account, said)
	case agent.Waiting:
		if exceedsQuota.MatchString(err.Error()) {
			return said + ": it is tried again; to make room, raise the ResourceQuota or take something out"
		}
	case agent.Invalid:
		switch {
		case strings.Contains(said, "field not declared in schema"):
			said += ": mend its spelling, or take it out"
		case violatesPodSecurity(said):
			said += fmt.Sprintf(": change what it names, or the level that the label pod-security.kubernetes.io/enforce of the namespace %s demands", ref.Namespace)
		case lacksRequests.MatchString(said):
			said += ": set it in the resources of the container, or give the namespace a LimitRange with defaults"
		}
	case agent.TooLarge:
		return "the object is larger than the API server takes (1 MB of data in a ConfigMap or Secret, about 1.5 MB for a stored object, 3 MB for a request): split it, or keep large data elsewhere"
	case agent.Unavailable:
		return "the API server or something behind it does not answer: " + said
	}
	return said
}

// detailsOf returns what the API server said beyond the message, if anything.
func detailsOf(err error) *metav1.StatusDetails {
	if status, ok := errors.AsType[*apierrors.StatusError](err); ok {
		return status.ErrStatus.Details
	}
	return nil
}

// conflicts names the managers and fields of a field conflict.
func conflicts(err error) []string {
	details := detailsOf(err)
	if details == nil {
		return nil
	}
	var found []string
	for _, cause := range details.Causes {
		if cause.Type == metav1.CauseTypeFieldManagerConflict {
			found = append(found, strings.TrimPrefix(cause.Field, ".")+" is owned by "+managerName(cause.Message))
		}
	}
	const few = 5
	if len(found) > few {
		found = append(found[:few], fmt.Sprintf("and %d more fields", len(found)-few))
	}
	return found
}

var conflictManager = regexp.MustCompile(`conflict with "([^"]+)"`)

func managerName(message string) string {
	if m := conflictManager.FindStringSubmatch(message); m != nil {
		return m[1]
	}
	return message
}

// brief is the API server's message, cut to a length that fits a condition, and without what is
// different at every try: a condition and an event should change only when something does.
func brief(err error) string {
	const most = 600
	text := undiffed(err.Error())
	for _, c := range slices.Concat(changing, telling, clumsy) {
		text = c.pattern.ReplaceAllString(text, c.by)
	}
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// replaced is what is said in other words.
type replaced struct {
	pattern *regexp.Regexp
	by      string
}

// telling is what may be secret in a URL that is refused: the API server repeats it.
var telling = []replaced{
	{regexp.MustCompile(`(://)[^\s"]*@`), "$1…@"},
	{regexp.MustCompile(`(Invalid value: "[^\s"?#]*://[^\s"?#]*[?#])[^"]+`), "$1…"},
}

// clumsy is what is not said for people.
var clumsy = []replaced{
	{regexp.MustCompile(`, <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation`), ""},
	{regexp.MustCompile(`: expected string, got &value\.valueUnstructured\{Value:([^}]*)\}`), " is $1, and has to be a string: put it in quotes"},
}

// changing is what is different at every try.
var changing = []replaced{
	{regexp.MustCompile(`[^\s"]+:\d+->`), ""},                                   // our end of a connection, and its port
	{regexp.MustCompile(`LastStreamID=\d+, `), ""},                              // of a connection that is closed
	{regexp.MustCompile(`: current time \S+ is (before|after)`), ": now is $1"}, // a certificate has expired
}

// aboutSecret says what is wrong with a Secret without what the API server said, which may
// hold values of it in any form: the fields, where they are known.
func aboutSecret(err error) string {
	var fields []string
	if details := detailsOf(err); details != nil {
		for _, cause := range details.Causes {
			if cause.Field != "" {
				fields = append(fields, fmt.Sprintf("%s (%s)", cause.Field, cause.Type))
			}
		}
	}
	if len(fields) == 0 {
		said := "the API server refuses the Secret"
		if reason := apierrors.ReasonForError(err); reason != metav1.StatusReasonUnknown {
			said += fmt.Sprintf(" (%s)", reason)
		}
		return said + "; its words are not shown, for they may hold a value: compare its fields with kubectl explain secret"
	}
	return "the API server refuses fields of the Secret: " + strings.Join(fields, ", ")
}

func orCore(group string) string {
	if group == "" {
		return "core"
	}
	return group
}
