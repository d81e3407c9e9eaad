package pipelines

import (
	"cmp"
	"context"
	"net/http"

	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/engine/kfp"
)

// Servers are the servers of Kubeflow Pipelines that the agent speaks with.
type Servers struct {
	// Transport that all clients share: see kfp.NewTransport.
	Transport http.RoundTripper
	Tokens    *Tokens
	// UI is the address of the pages for people, for links to runs. Empty for none.
	UI string
}

// As is the client of a server in the name of an account; with the zero Account it shows no token. An empty
// address is the default one.
func (s *Servers) As(account cluster.Account, address string) *kfp.Client {
	c := &kfp.Client{Address: cmp.Or(address, kfp.DefaultAddress), Transport: s.Transport, UI: s.UI}
	if account != (cluster.Account{}) {
		c.Token = func(ctx context.Context) (string, error) { return s.Tokens.Get(ctx, account) }
		c.Transport = doubting{next: s.Transport, refused: func() { s.Tokens.Doubt(account) }}
	}
	return c
}

// doubting tells when a server does not take the token that it was shown: the account may have been made
// anew, which a token does not outlive.
type doubting struct {
	next    http.RoundTripper
	refused func()
}

// RoundTrip looks at the status of each answer.
func (d doubting) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := d.next.RoundTrip(r)
	if err == nil && response.StatusCode == http.StatusUnauthorized {
		d.refused()
	}
	return response, err
}
