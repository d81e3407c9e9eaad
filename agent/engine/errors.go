package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/expression"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Kind sorts errors of engines by what helps against them.
type Kind string

const (
	// Temporary: the same call may succeed later. Whether it was carried out is open.
	Temporary Kind = "Temporary"
	// Permanent: it is refused until somebody changes something.
	Permanent Kind = "Permanent"
	// Forgotten: the engine knows nothing of the run any more, though it had begun. What became of it
	// cannot be told.
	Forgotten Kind = "Forgotten"
)

// Error is an error of an engine.
type Error struct {
	Kind Kind
	// Message names the run, says what is wrong and what to do. The same error has the same words, for
	// they end up in a status.
	Message string
}

func (e *Error) Error() string { return e.Message }

// KindOf is the kind of an error: Temporary for those of other packages.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Temporary
}

func permanentf(format string, arguments ...any) error {
	return &Error{Permanent, fmt.Sprintf(format, arguments...)}
}

// explain says what the API server's answer means for the object of a run.
func explain(ref agent.Ref, verb string, err error) error {
	kind, said := sorted(err), words(err.Error())
	switch {
	case errors.Is(err, context.Canceled):
		return &Error{Temporary, fmt.Sprintf("%s: it was broken off", ref)}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Temporary, fmt.Sprintf("%s: the API server does not answer in time: it is tried again", ref)}
	case kind == Temporary:
		return &Error{kind, fmt.Sprintf("%s: %s: it is tried again", ref, said)}
	case apierrors.IsForbidden(err) && aboutRights.MatchString(err.Error()):
		return &Error{kind, fmt.Sprintf("%s: the account of the Retraining may not %s it: %s: grant it that, or name another in spec.serviceAccountName", ref, verb, said)}
	}
	return &Error{kind, fmt.Sprintf("%s is refused: %s: correct spec.run", ref, said)}
}

// explainKind says why there is no resource for a kind.
func explainKind(ref agent.Ref, version, install string, err error) error {
	if meta.IsNoMatchError(err) {
		return permanentf("%s: the cluster does not know the kind %s in %s: %s", ref, ref.Kind, strings.TrimPrefix(ref.Group+"/"+version, "/"), install)
	}
	return &Error{Temporary, fmt.Sprintf("%s: the API server does not say whether it knows the kind: %s: it is tried again", ref, words(err.Error()))}
}

// aboutRights matches what is forbidden because of who asks, in the API server's words.
var aboutRights = regexp.MustCompile(`(?i)forbidden: user "`)

// sorted tells whether the same request may succeed later. Whatever is no answer of the API server may.
func sorted(err error) Kind {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok {
		return Temporary
	}
	text := err.Error()
	switch code := status.Status().Code; {
	case strings.Contains(text, "failed calling webhook"), strings.Contains(text, "conversion webhook"):
		return Temporary
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return Permanent
	case apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) && apierrors.IsNotFound(err):
		return Temporary // the kind is being changed: whether it is known at all is asked anew
	case strings.Contains(text, "forbidden: exceeded quota: "):
		return Temporary
	case code == http.StatusUnauthorized, code == http.StatusConflict, code == http.StatusRequestTimeout, code == http.StatusTooManyRequests:
		return Temporary
	case code >= 400 && code < 500:
		return Permanent
	}
	return Temporary
}

const (
	// longestMessage and longestStep are what fits into the status of an attempt, in characters; half
	// of it is left for what is said around.
	longestMessage = 512
	longestStep    = 128
)

// telling is what may be secret in a text of others: credentials in a URL.
var telling = regexp.MustCompile(`(://)[^\s"'/]*@`)

// words makes text of others fit to be said.
func words(text string) string {
	return expression.Printable(telling.ReplaceAllString(text, "$1…@"), longestMessage)
}
