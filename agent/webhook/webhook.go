package webhook

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"k8s.io/apimachinery/pkg/types"
)

// maxBody is how much of a body is read. Forges send tens of KiB, GitHub up to 25 MiB for a push of
// thousands of commits, which is noticed at the next look.
const maxBody = 1 << 20

// Handler answers hooks. Make it with New; one serves all Repositories.
type Handler struct {
	repositories Repositories
	hooks        *prometheus.CounterVec
	log          quiet
	now          func() time.Time

	// stranger is the secret of every Repository that takes no hooks. Nobody knows it.
	stranger []byte

	crowd crowd
	doors doors
}

// New returns a Handler, which counts in the registry. It panics if there is one in it already, which
// is a mistake in the program.
func New(repositories Repositories, registry prometheus.Registerer, log logr.Logger) *Handler {
	h := &Handler{
		repositories: repositories,
		hooks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_hooks_total",
			Help: "Hooks of forges by provider and by what became of them."}, []string{"provider", "result"}),
		log:      quiet{log: log},
		now:      time.Now,
		stranger: make([]byte, 32),
	}
	_, _ = rand.Read(h.stranger) // it never fails
	registry.MustRegister(h.hooks)
	return h
}

// hook is a request on its way through the Handler.
type hook struct {
	repository types.NamespacedName
	sender     *sender // nil if nobody we know sends it
	header     http.Header
	body       []byte
	// target is what the signature was checked against; known tells whether there is one.
	target Target
	known  bool
}

// ServeHTTP answers a hook.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	repository, found := nameOf(r.URL.Path)
	if !found {
		h.answer(w, &hook{}, notFound)
		return
	}
	k := &hook{repository: repository, sender: identify(r.Header), header: r.Header}
	if a := precheck(r, k.sender); a.status != 0 {
		h.answer(w, k, a)
		return
	}
	if !h.crowd.enter(repository) {
		h.answer(w, k, crowded)
		return
	}
	defer h.crowd.leave(repository)
	var a answer
	if k.body, a = read(w, r); a.status == 0 {
		a = h.receive(r, k)
	}
	h.answer(w, k, a)
}

// receive looks at a hook that has arrived as a whole.
func (h *Handler) receive(r *http.Request, k *hook) answer {
	now := h.now()
	proof := h.check(r, k, now)
	if !proof.valid {
		return refused
	}
	kind := k.sender.event(k.header)
	if !k.sender.kinds[kind] {
		return nothing
	}
	marks := k.sender.marks(k.header, proof)
	before, wait := h.doors.admit(k.repository, marks, now)
	if before {
		return seen
	}
	if wait > 0 {
		a := flooded
		a.retry = wait
		return a
	}
	news, err := k.sender.parse(kind, k.body)
	if err != nil {
		return garbage
	}
	if news.repository != "" && !isAt(news.repository, k.target.URL) {
		return misdirected(news.repository, k.repository, k.target)
	}
	// Only now: what was refused may come again, once somebody has corrected what was wrong.
	if !h.doors.remember(k.repository, marks, now) {
		return seen
	}
	event, matters := news.event(k.target)
	switch {
	case news.ping:
		return pong
	case !matters:
		return nothing
	}
	event.Repository = k.repository
	h.repositories.Notify(event)
	return accepted
}

// check looks the Repository up and checks the signature. It does the same work for one that there is
// not as for one that there is; see the package's comment.
func (h *Handler) check(r *http.Request, k *hook, now time.Time) proof {
	if plainName.MatchString(k.repository.Namespace) && plainName.MatchString(k.repository.Name) {
		k.target, k.known = h.repositories.Lookup(r.Context(), k.repository.Namespace, k.repository.Name)
	}
	secret := bytes.TrimRight(k.target.Token, "\r\n")
	k.known = k.known && len(secret) > 0
	if !k.known {
		secret = h.stranger
	}
	p := k.sender.check(k.header, secret, k.body, now)
	p.valid = p.valid && k.known
	return p
}

// plainName is what names and namespaces look like in Kubernetes. Others are looked up nowhere and
// logged nowhere.
var plainName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

// nameOf returns the Repository that a path is for. The path is taken as it is: what is redirected
// would repeat it.
func nameOf(path string) (types.NamespacedName, bool) {
	rest, ok := strings.CutPrefix(path, "/hooks/")
	namespace, name, more := strings.Cut(rest, "/")
	if !ok || !more || namespace == "" || name == "" || strings.Contains(name, "/") {
		return types.NamespacedName{}, false
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, true
}

// precheck refuses what needs no body to be refused, and no Repository.
func precheck(r *http.Request, s *sender) answer {
	switch media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); {
	case r.Method != http.MethodPost:
		return notPost
	case s == nil || s.signature(r.Header) == "":
		return refused
	case media == "application/x-www-form-urlencoded" && !s.open:
		return form
	case r.ContentLength > maxBody:
		return tooLarge
	}
	return answer{}
}

// read reads the body, which takes memory only as it arrives.
func read(w http.ResponseWriter, r *http.Request) ([]byte, answer) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, tooLarge
	}
	if err != nil {
		return nil, tooSlow
	}
	return body, answer{}
}

// isAt tells whether a URL leads to the repository of a name. A forge can be below a path of its
// host, and none tells upper from lower case in names.
func isAt(name, url string) bool {
	_, path, _ := strings.Cut(gitrepo.Address(url), "/")
	path, name = strings.ToLower(path), strings.ToLower(name)
	return path == name || strings.HasSuffix(path, "/"+name)
}

// answer answers a hook, counts it, and tells the operator if something is wrong with it.
func (h *Handler) answer(w http.ResponseWriter, k *hook, a answer) {
	provider := "none"
	if k.sender != nil {
		provider = k.sender.name
	}
	h.hooks.WithLabelValues(provider, a.result).Inc()
	if a.status >= http.StatusBadRequest {
		h.log.refused(k, provider, a, h.now())
	}
	a.write(w)
}
