package kfp

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/e2e/kfp"
)

const (
	namespace = "fraud"
	account   = "system:serviceaccount:fraud:trainer"
)

// hanging is how long a client waits for an answer that never comes. Other clients wait as they always do.
const hanging = time.Second

// clock stands still unless it is turned.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// world is a server for many users, and a client of one of them.
type world struct {
	*kfp.Server
	client *Client
	clock  *clock
}

func newWorld(t testing.TB, options kfp.Options) *world {
	t.Helper()
	w := &world{clock: newClock()}
	options.MultiUser, options.Now = true, w.clock.now
	server, err := kfp.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	w.Server, w.client = server, newClient(t, server)
	return w
}

// newClient is one more agent.
func newClient(t testing.TB, server *kfp.Server) *Client {
	transport := NewTransport(true)
	t.Cleanup(transport.CloseIdleConnections)
	return &Client{Address: server.URL, Transport: transport, Token: fixed(kfp.Token(account)), UI: "https://kubeflow.example.com/_/pipeline/"}
}

// order is one of a pipeline that is delivered.
func (w *world) order(t testing.TB, name string) order {
	t.Helper()
	v, err := w.client.Deliver(t.Context(), namespace, "echo", small(t, "hello"))
	if err != nil {
		t.Fatal(err)
	}
	return order{Name: name, Namespace: namespace, Experiment: "fraud", Version: v}
}

// start is Submit without what it does to come to an order.
func start(ctx context.Context, c *Client, o order) (State, error) {
	state, err := c.start(ctx, o.Name, o.Namespace, o.Experiment, func() (order, error) { return o, nil })
	return state, about(err, "the run %s", printable(o.Name))
}

func (w *world) started(t testing.TB, name string) State {
	t.Helper()
	s, err := start(t.Context(), w.client, w.order(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// counts is the id of the only run of a name that counts.
func (w *world) counts(t testing.TB, name string) string {
	t.Helper()
	ids := w.Counting(name)
	if len(ids) != 1 {
		t.Fatalf("%d runs of %s count, of %v", len(ids), name, w.Made(name))
	}
	return ids[0]
}
