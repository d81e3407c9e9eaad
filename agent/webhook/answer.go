package webhook

import (
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/sluice-dev/sluice/agent/gitrepo"
	"k8s.io/apimachinery/pkg/types"
)

// answer is what becomes of a hook.
type answer struct {
	// result names it in metrics and in the log.
	result string
	status int
	// text is a sentence for the forge's page of deliveries.
	text string
	// retry says when to come again; 0 for never mind.
	retry time.Duration
	// allow is the method that would do.
	allow string
}

// The answers. Those before the signature is checked are the same for every Repository.
var (
	notFound = answer{result: "not-found", status: http.StatusNotFound, text: "Hooks go to /hooks/NAMESPACE/NAME, the names of a Repository."}
	notPost  = answer{result: "not-post", status: http.StatusMethodNotAllowed, text: "Hooks are sent by POST.", allow: http.MethodPost}
	form     = answer{result: "form", status: http.StatusUnsupportedMediaType, text: "The hook sends a form: set its content type to application/json."}
	tooLarge = answer{result: "too-large", status: http.StatusRequestEntityTooLarge, text: "The body is larger than 1 MiB."}
	tooSlow  = answer{result: "too-slow", status: http.StatusRequestTimeout, text: "The body did not arrive."}
	crowded  = answer{result: "crowded", status: http.StatusTooManyRequests, text: "Too many hooks are under way: come again.", retry: time.Second}
	refused  = answer{result: "refused", status: http.StatusUnauthorized, text: "The hook was refused."}

	flooded  = answer{result: "flooded", status: http.StatusTooManyRequests, text: "Too many hooks for this Repository: come again. The agent looks by itself meanwhile."}
	garbage  = answer{result: "garbage", status: http.StatusBadRequest, text: "The body is not what the forge sends for this event."}
	seen     = answer{result: "seen", status: http.StatusOK, text: "Nothing to do: this hook was here before."}
	nothing  = answer{result: "nothing", status: http.StatusOK, text: "Nothing to do: it is about nothing that the Repository follows."}
	pong     = answer{result: "ping", status: http.StatusOK, text: "The hook works. Let it send pushes, pull requests and reviews."}
	accepted = answer{result: "accepted", status: http.StatusAccepted, text: "The agent looks at the repository."}
)

// misdirected is the answer to a hook of another repository. The other's name is in it: the signature
// was right, and the name is plain.
func misdirected(other string, repository types.NamespacedName, t Target) answer {
	return answer{result: "misdirected", status: http.StatusUnprocessableEntity,
		text: "This hook is for " + other + ", and Repository " + repository.String() + " follows " + gitrepo.Address(t.URL) +
			": correct the hook's URL, or spec.url of the Repository."}
}

func (a answer) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if a.allow != "" {
		h.Set("Allow", a.allow)
	}
	if a.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(a.retry.Seconds()))))
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.text+"\n") // who does not listen misses it
}
