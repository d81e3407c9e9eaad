package webhook

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/net/netutil"
)

// Server serves a Handler to clients that nobody knows.
type Server struct {
	Handler http.Handler
	Limits  Limits
	Log     logr.Logger
}

// Limits bound what a client can take.
type Limits struct {
	// Header is the time for the header of a request, and Request for all of it.
	Header, Request time.Duration
	// Answer is the time from the end of the header to the end of the answer.
	Answer time.Duration
	// Idle is how long a connection is kept that has nothing to say.
	Idle time.Duration
	// HeaderBytes of a request.
	HeaderBytes int
	// Connections at once; the next ones wait.
	Connections int
}

// DefaultLimits fit forges, which send a hook in one go.
func DefaultLimits() Limits {
	return Limits{Header: 3 * time.Second, Request: 5 * time.Second, Answer: 10 * time.Second, Idle: 15 * time.Second, HeaderBytes: 16 << 10, Connections: 256}
}

// farewell is the time that requests under way get when the Server ends.
const farewell = 10 * time.Second

// Run serves until the context ends, and closes the listener. The requests that are under way are
// answered first. It returns an error if it could not serve.
func (s Server) Run(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           s.Handler,
		ReadHeaderTimeout: s.Limits.Header,
		ReadTimeout:       s.Limits.Request,
		WriteTimeout:      s.Limits.Answer,
		IdleTimeout:       s.Limits.Idle,
		MaxHeaderBytes:    s.Limits.HeaderBytes,
		ErrorLog:          log.New(lines{s.Log}, "", 0),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(netutil.LimitListener(listener, s.Limits.Connections)) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		_ = server.Close() // whoever is still there had time enough
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// lines are what net/http has to say.
type lines struct{ log logr.Logger }

func (l lines) Write(line []byte) (int, error) {
	const longest = 4 << 10 // the stack of a panic begins with its cause
	l.log.Info("the server of hooks has trouble", "error", string(line[:min(len(line), longest)]))
	return len(line), nil
}
