package pipelines

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/engine/kfp"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

const (
	// lifetime of a token, as it is asked for. The API server may give another.
	lifetime = time.Hour
	// mintPatience is how long the API server may take to make one.
	mintPatience = 10 * time.Second
	// doubtAfter is how old a token has to be for another to be made because a server does not take it: it
	// takes none that was just made for other reasons.
	doubtAfter = time.Minute
)

// Tokens are those of accounts for Kubeflow Pipelines. They are in memory and nowhere else.
type Tokens struct {
	// Accounts makes them.
	Accounts corev1client.ServiceAccountsGetter
	// Now is the clock; nil for the machine's.
	Now func() time.Time

	mu   sync.Mutex
	kept map[cluster.Account]*minted
}

// minted is the token of an account.
type minted struct {
	mu          sync.Mutex // held while it is made
	value       string
	made, until time.Time
}

// Get is a token of an account, which is renewed when four fifths of its life are over. Errors are those of the
// package kfp, and pass: an account may come from Git at any time.
func (t *Tokens) Get(ctx context.Context, account cluster.Account) (string, error) {
	m := t.of(account)
	m.mu.Lock()
	defer m.mu.Unlock()
	now := t.now()
	if m.value != "" && now.Before(m.until) {
		return m.value, nil
	}
	ctx, cancel := context.WithTimeout(ctx, mintPatience)
	defer cancel()
	seconds := int64(lifetime / time.Second)
	made, err := t.Accounts.ServiceAccounts(account.Namespace).CreateToken(ctx, account.Name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{kfp.Audience}, ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", explain(account, err)
	}
	m.value, m.made, m.until = made.Status.Token, now, now.Add(made.Status.ExpirationTimestamp.Sub(now)*4/5)
	return m.value, nil
}

// Doubt has another token made of an account: a server did not take the one it has.
func (t *Tokens) Doubt(account cluster.Account) {
	m := t.of(account)
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.now().Sub(m.made) >= doubtAfter {
		m.value = ""
	}
}

// of is the token of an account. Those whose time is over are dropped on the way.
func (t *Tokens) of(account cluster.Account) *minted {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept == nil {
		t.kept = map[cluster.Account]*minted{}
	}
	m := t.kept[account]
	if m == nil {
		for other, old := range t.kept {
			if old.mu.TryLock() { // one that is held is in use
				if !t.now().Before(old.until) {
					delete(t.kept, other)
				}
				old.mu.Unlock()
			}
		}
		m = &minted{}
		t.kept[account] = m
	}
	return m
}

func (t *Tokens) now() time.Time {
	if t.Now != nil {
		return t.Now()
	}
	return time.Now()
}

// explain says why there is no token. What the API server says of it holds no secret.
func explain(account cluster.Account, err error) error {
	message := fmt.Sprintf("there is no token of %s for it: ", account)
	switch {
	case apierrors.IsNotFound(err):
		message += "the account is not there: create it, or name another in spec.serviceAccountName"
	case apierrors.IsForbidden(err):
		message += "the agent may not make one: let its ClusterRole give it create on serviceaccounts/token"
	case errors.Is(err, context.Canceled):
		message += "the request was broken off"
	default:
		message += "the API server did not make one: it is tried again"
	}
	return &kfp.Error{Reason: kfp.Unauthenticated, Message: message}
}
