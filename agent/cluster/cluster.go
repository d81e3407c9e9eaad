package cluster

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"github.com/sluice-dev/sluice/agent"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// Cluster is one Kubernetes cluster.
type Cluster struct {
	config *rest.Config
	kinds  *kinds
	notify func(agent.Owner)
	// pressure is that of all sessions together.
	pressure  *pressure
	abilities abilities

	mu       sync.Mutex
	sessions map[string]*Session
}

// New returns the cluster that config leads to. Whenever something that matters changes on
// an object with ownership labels, notify is called with its owner; it must not block.
func New(config *rest.Config, notify func(agent.Owner)) (*Cluster, error) {
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("cannot set up a client for the cluster: %w", err)
	}
	kinds, err := newKinds(config, httpClient)
	if err != nil {
		return nil, err
	}
	pressure := newPressure()
	config = rest.CopyConfig(config)
	config.Wrap(pressure.watching)
	return &Cluster{config: config, kinds: kinds, notify: notify, pressure: pressure, sessions: map[string]*Session{}}, nil
}

// Notify has the owner looked at again, as if one of its objects had changed.
func (c *Cluster) Notify(owner agent.Owner) { c.notify(owner) }

// Account is a ServiceAccount in whose name work is done; the zero Account is the agent's own.
type Account struct {
	Namespace string
	Name      string
	self      string // what to call the zero Account
}

// Yours is the account of whoever runs the command line.
var Yours = Account{self: "your account"}

// username is the name under which the API server knows the account.
func (a Account) username() string {
	if a.Name == "" {
		return ""
	}
	return fmt.Sprintf("system:serviceaccount:%s:%s", a.Namespace, a.Name)
}

// String names the account for people.
func (a Account) String() string {
	if a.Name == "" {
		return cmp.Or(a.self, "the agent's own account")
	}
	return "ServiceAccount " + a.Namespace + "/" + a.Name
}

// ConfigAs is what leads to the cluster in the name of an account.
func (c *Cluster) ConfigAs(account Account) *rest.Config {
	config := rest.CopyConfig(c.config)
	if name := account.username(); name != "" {
		config.Impersonate = rest.ImpersonationConfig{UserName: name}
	}
	return config
}

// As returns the session of an account; sessions are kept and shared.
func (c *Cluster) As(account Account) (*Session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := account.username()
	if s, ok := c.sessions[name]; ok {
		return s, nil
	}
	config := c.ConfigAs(account)
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("cannot set up a client for %s: %w", account, err)
	}
	metaClient, err := metadata.NewForConfig(metadata.ConfigFor(config))
	if err != nil {
		return nil, fmt.Errorf("cannot set up a client for %s: %w", account, err)
	}
	s := &Session{
		account: account, kinds: c.kinds, pressure: c.pressure, dynamic: dyn, metadata: metaClient, notify: c.notify,
		seen: map[agent.Ref]sighting{}, writing: map[agent.Ref]*write{}, watches: map[watchKey]*watcher{}, needs: map[agent.Owner]map[watchKey]bool{}, settled: map[agent.Owner]map[watchKey]bool{},
		followers: map[agent.Ref]*follower{}, followed: map[agent.Owner]map[agent.Ref]bool{},
	}
	c.sessions[name] = s
	return s, nil
}

// Turn waits until the API server can take one more write, and returns a function to call
// after it. The error is that of ctx.
func (s *Session) Turn(ctx context.Context) (done func(), err error) { return s.pressure.turn(ctx) }

// Session is the cluster as one account sees it. It may be used from several goroutines.
type Session struct {
	account  Account
	kinds    *kinds
	pressure *pressure
	dynamic  dynamic.Interface
	metadata metadata.Interface
	notify   func(agent.Owner)

	mu      sync.Mutex
	seen    map[agent.Ref]sighting
	writing map[agent.Ref]*write
	watches map[watchKey]*watcher
	needs   map[agent.Owner]map[watchKey]bool
	settled map[agent.Owner]map[watchKey]bool // what was needed when the watches were last gone through

	followers map[agent.Ref]*follower
	followed  map[agent.Owner]map[agent.Ref]bool
}
