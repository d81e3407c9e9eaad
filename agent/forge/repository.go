package forge

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// rereadAfter is how long the Secrets of a Repository are taken to be what they were.
const rereadAfter = time.Minute

// Forges are those that Repositories name, each opened once: a Forge keeps what it was answered, and
// knows until when it may not ask.
type Forges struct {
	// Live reads Secrets.
	Live client.Reader
	// AllowInsecure allows http.
	AllowInsecure bool

	now    func() time.Time // time.Now if nil
	mu     sync.Mutex
	opened map[types.NamespacedName]*opened
}

// opened is the Forge of one Repository.
type opened struct {
	mu    sync.Mutex // held while Secrets are read, so that others wait for this Repository only
	forge *Forge
	spec  digest    // of what the Repository says
	as    digest    // of what the forge was opened with, with the Secrets
	read  time.Time // when the Secrets were
}

// digest tells whether something has changed, and keeps nothing of it.
type digest [sha256.Size]byte

func digestOf(parts ...string) digest {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d %s", len(part), part)
	}
	return digest(h.Sum(nil))
}

// Of returns the forge that a Repository names in spec.pullRequests. It is the same for as long as the
// spec and the Secrets say the same, which are read at most once a minute, and at once after the forge
// has not accepted the token. Errors are Invalid if somebody has to change the spec or a Secret, which
// they name, and Unavailable if a Secret cannot be read.
func (f *Forges) Of(ctx context.Context, repo *v1alpha1.Repository) (*Forge, error) {
	asked := repo.Spec.PullRequests
	if asked == nil {
		return nil, errorf(Invalid, "Repository %s/%s names no forge: set spec.pullRequests", repo.Namespace, repo.Name)
	}
	o := f.entry(types.NamespacedName{Namespace: repo.Namespace, Name: repo.Name})
	o.mu.Lock()
	defer o.mu.Unlock()
	proxy := ""
	if repo.Spec.ProxySecretRef != nil {
		proxy = repo.Spec.ProxySecretRef.Name
	}
	spec := digestOf(string(asked.Provider), repo.Spec.URL, asked.URL, asked.SecretRef.Name, proxy)
	if o.forge != nil && o.spec == spec && f.time().Before(o.read.Add(rereadAfter)) && !o.forge.doubted.Load() {
		return o.forge, nil
	}
	options, err := f.options(ctx, repo)
	if err != nil {
		if isKind(err, Invalid) {
			o.close() // a token that was taken away is not kept
		}
		return nil, err
	}
	as := options.digest()
	if o.forge == nil || o.as != as {
		made, err := Open(options)
		if err != nil {
			return nil, inSecret(repo.Namespace, asked.SecretRef.Name, err)
		}
		o.close()
		o.forge, o.as = made, as
	}
	o.spec, o.read = spec, f.time()
	o.forge.doubted.Store(false)
	return o.forge, nil
}

// Forget lets go of the forge of a Repository that is gone, or names none any more.
func (f *Forges) Forget(repository types.NamespacedName) {
	f.mu.Lock()
	o := f.opened[repository]
	delete(f.opened, repository)
	f.mu.Unlock()
	if o != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.close()
	}
}

func (f *Forges) entry(repository types.NamespacedName) *opened {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.opened == nil {
		f.opened = map[types.NamespacedName]*opened{}
	}
	o := f.opened[repository]
	if o == nil {
		o = &opened{}
		f.opened[repository] = o
	}
	return o
}

func (f *Forges) time() time.Time {
	if f.now != nil {
		return f.now()
	}
	return time.Now()
}

// close lets go of the Forge. Who still has it can use it to the end.
func (o *opened) close() {
	if o.forge != nil {
		o.forge.CloseIdle()
		o.forge = nil
	}
}

// options are what a Repository and its Secrets say.
func (f *Forges) options(ctx context.Context, repo *v1alpha1.Repository) (Options, error) {
	asked := repo.Spec.PullRequests
	o := Options{Provider: Provider(asked.Provider), Repository: repo.Spec.URL, API: asked.URL, AllowInsecure: f.AllowInsecure}
	if _, err := locate(o.Provider, o.Repository, o.API, o.AllowInsecure); err != nil {
		return Options{}, prefixed(fmt.Sprintf("Repository %s/%s: ", repo.Namespace, repo.Name), err)
	}
	err := f.secret(ctx, repo.Namespace, "spec.pullRequests.secretRef", &asked.SecretRef, o.readCredentials)
	if err != nil {
		return Options{}, err
	}
	err = f.secret(ctx, repo.Namespace, "spec.proxySecretRef", repo.Spec.ProxySecretRef, o.readProxy)
	return o, err
}

// secret reads the data of the Secret that a field names, if it names one.
func (f *Forges) secret(ctx context.Context, namespace, field string, ref *meta.LocalObjectReference, read func(map[string][]byte) error) error {
	if ref == nil {
		return nil
	}
	var secret corev1.Secret
	switch err := f.Live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, &secret); {
	case apierrors.IsNotFound(err):
		return errorf(Invalid, "Secret %s/%s is not there: create it, or name another in %s", namespace, ref.Name, field)
	case err != nil:
		return &Error{Kind: Unavailable, Err: err, Message: fmt.Sprintf("Secret %s/%s of %s cannot be read: %s", namespace, ref.Name, field, printable(err.Error()))}
	}
	return inSecret(namespace, ref.Name, read(secret.Data))
}

// inSecret says in which Secret something is wrong.
func inSecret(namespace, name string, err error) error {
	return prefixed(fmt.Sprintf("Secret %s/%s: ", namespace, name), err)
}

func prefixed(prefix string, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	said := *e
	said.Message = prefix + e.Message
	return &said
}

// appKeys are the keys of a GitHub App, as Flux has them.
var appKeys = []string{"githubAppID", "githubAppInstallationID", "githubAppPrivateKey"}

// readCredentials reads how to be let in from a Secret's data: token, or those of a GitHub App; and
// ca.crt.
func (o *Options) readCredentials(data map[string][]byte) error {
	o.Token, o.Authorities = value(data, "token"), data["ca.crt"]
	missing := slices.DeleteFunc(slices.Clone(appKeys), func(key string) bool { return len(data[key]) > 0 })
	switch hasApp := len(missing) < len(appKeys) && o.Provider == GitHub; {
	case o.Token == "" && !hasApp && o.Provider == GitHub:
		return errorf(Invalid, "it has no key token: add it, or %s of a GitHub App", strings.Join(appKeys, ", "))
	case o.Token == "" && !hasApp:
		return errorf(Invalid, "it has no key token: add it")
	case !hasApp:
		return nil
	case o.Token != "":
		return errorf(Invalid, "it has the key token and those of a GitHub App: remove one or the others")
	case len(missing) > 0:
		return errorf(Invalid, "it has keys of a GitHub App but not %s: add it", strings.Join(missing, " and "))
	}
	o.App = &App{PrivateKey: data["githubAppPrivateKey"]}
	for key, number := range map[string]*int64{"githubAppID": &o.App.ID, "githubAppInstallationID": &o.App.Installation} {
		n, err := strconv.ParseInt(strings.TrimSpace(value(data, key)), 10, 64)
		if err != nil || n <= 0 {
			return errorf(Invalid, "the key %s is no number: put the one that GitHub shows there", key)
		}
		*number = n
	}
	return nil
}

// readProxy reads a proxy from a Secret's data: address, and username and password if it wants them.
func (o *Options) readProxy(data map[string][]byte) error {
	address := value(data, "address")
	if address == "" {
		return errorf(Invalid, "the proxy's Secret has no key address; add it, such as http://proxy.example.com:3128")
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" {
		return errorf(Invalid, "the key address of the proxy's Secret is no proxy URL; write http://, https:// or socks5:// and a host")
	}
	if name := value(data, "username"); name != "" {
		u.User = url.UserPassword(name, value(data, "password"))
	}
	o.Proxy = u
	return nil
}

// digest is of all that a Forge is opened with.
func (o Options) digest() digest {
	parts := []string{string(o.Provider), o.Repository, o.API, o.Token, string(o.Authorities), strconv.FormatBool(o.AllowInsecure)}
	if o.App != nil {
		parts = append(parts, "app", strconv.FormatInt(o.App.ID, 10), strconv.FormatInt(o.App.Installation, 10), string(o.App.PrivateKey))
	}
	if o.Proxy != nil {
		parts = append(parts, "proxy", o.Proxy.String())
	}
	return digestOf(parts...)
}

// value reads a key that is one line; editors and "echo" like to add a newline.
func value(data map[string][]byte, key string) string {
	return strings.TrimRight(string(data[key]), "\r\n")
}
