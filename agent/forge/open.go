package forge

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Options say which repository on which forge, and how to reach it. They print as what they are, never
// as what they hold.
type Options struct {
	Provider Provider
	// Repository is its Git URL, of https or ssh, or of http if AllowInsecure.
	Repository string
	// API is the address of the forge's API where it is not at the usual place: https://host/api/v1 for
	// Gitea, https://api.github.com or https://host/api/v3 for GitHub, https://host/api/v4 for GitLab,
	// below a path of the host if the forge is there. GitLab below a path needs it, for its groups look
	// the same. Empty for the usual place.
	API string
	// Token of an account, or App for GitHub.
	Token string
	App   *App
	// Authorities are trusted besides the system's, in PEM form.
	Authorities []byte
	// AllowInsecure allows http.
	AllowInsecure bool
	// Proxy to use in place of the environment's.
	Proxy *url.URL
}

// Format keeps secrets out of every verb of fmt.
func (o Options) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%s on %s", o.Repository, o.Provider) }

// Forge is a repository on its forge. It may be used by many at once.
type Forge struct {
	place    place
	provider provider
	network  *http.Transport

	mu   sync.Mutex // also: one comment at a time, so that there are never two of the same
	self string
	// comments of ours that were found, by their numbers on the forge
	comments map[commentKey]int64

	doubted atomic.Bool // the forge has not accepted the token, or not for all it was used for
}

// Format keeps secrets out of every verb of fmt.
func (f *Forge) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "%s on %s", f.place.path, f.place.api.Host)
}

// provider is what differs between forges. Its errors are those of the transport or of the library.
type provider interface {
	// limits of texts.
	limits() limits
	whoami(ctx context.Context) (string, error)
	// pulls returns a page of the open pull requests, at least all of those to base.
	pulls(ctx context.Context, base string, page int) (found []Pull, next int, err error)
	pull(ctx context.Context, number int) (Pull, error)
	// pullsOf returns pull requests that have to do with a commit.
	pullsOf(ctx context.Context, commit string) ([]Pull, error)
	// mergeBase returns a commit that both have and that is behind no other such commit; empty if there
	// is none. The head is a commit.
	mergeBase(ctx context.Context, base, head string) (string, error)
	reviews(ctx context.Context, number int) ([]Review, error)
	teamHas(ctx context.Context, team, user string) (bool, error)
	setStatus(ctx context.Context, commit string, s Status) error
	comments(ctx context.Context, number, page int) (found []comment, next int, err error)
	addComment(ctx context.Context, number int, body string) error
	editComment(ctx context.Context, number int, id int64, body string) error
	// open makes a pull request without labels. If there is one, taken is true.
	open(ctx context.Context, d Draft) (made Pull, taken bool, err error)
	// openOf returns open pull requests, at least the ones from head to base.
	openOf(ctx context.Context, base, head string) ([]Pull, error)
	addLabels(ctx context.Context, number int, labels []string) error
	edit(ctx context.Context, have Pull, d Draft) error
	close(ctx context.Context, number int) error
	merge(ctx context.Context, number int, commit string, method Method) error
	// branch returns the commit of a branch.
	branch(ctx context.Context, name string) (commit string, err error)
	deleteBranch(ctx context.Context, name string) error
}

// limits of texts of a forge: of a title and of the description of a status in characters, of a body in
// bytes.
type limits struct{ title, body, description int }

// callTime is how long a call may take.
const callTime = 2 * time.Minute

// Open makes a Forge. It asks the forge nothing. Errors are Invalid: a URL, a token, an App or
// authorities that cannot be used as they are written.
func Open(o Options) (*Forge, error) {
	at, err := locate(o.Provider, o.Repository, o.API, o.AllowInsecure)
	if err != nil {
		return nil, err
	}
	network, err := newNetwork(o.Authorities, o.Proxy)
	if err != nil {
		return nil, err
	}
	t := &transport{base: at.api, next: network}
	f := &Forge{place: at, network: network}
	var installed *app
	if o.App != nil {
		if installed, err = newApp(*o.App, at, network); err != nil {
			return nil, err
		}
		t.authorize, t.rejected = installed.authorize, installed.rejected
	} else if t.authorize, err = withToken(o.Provider, o.Token); err != nil {
		return nil, err
	}
	switch {
	case o.App != nil && (o.Provider != GitHub || o.Token != ""):
		return nil, errorf(Invalid, "a GitHub App is for GitHub, and in the place of a token: remove one of them")
	case o.Provider == Gitea:
		f.provider = &giteaForge{place: at, client: t.client()}
	case o.Provider == GitHub:
		f.provider = &gitHubForge{place: at, client: newGitHubClient(t, at), app: installed}
	case o.Provider == GitLab:
		f.provider, err = newGitLab(t, at)
	}
	return f, err
}

// CloseIdle closes connections that nobody uses. The Forge can be used on.
func (f *Forge) CloseIdle() { f.network.CloseIdleConnections() }

// withToken authorizes with the token of an account.
func withToken(provider Provider, token string) (func(context.Context) (string, error), error) {
	token = strings.TrimSpace(token) // editors like to add a line break
	switch {
	case token == "":
		return nil, errorf(Invalid, "there is no token for the forge: put one into the Secret")
	case !httpguts.ValidHeaderFieldValue(token) || strings.ContainsAny(token, " \t"):
		return nil, errorf(Invalid, "the token for the forge is more than one word: put it into the Secret alone")
	}
	scheme := "Bearer "
	if provider == Gitea {
		scheme = "token "
	}
	return func(context.Context) (string, error) { return scheme + token, nil }, nil
}

// call makes a call of the provider within its time, and finishes its error.
func (f *Forge) call(ctx context.Context, doing string, needs right, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return f.finish(ctx, doing, needs, do(ctx))
}
