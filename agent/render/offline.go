package render

import (
	"errors"
	"net/http"
	"sync"
)

// goOffline makes the default HTTP transport of this process, which is the one that Kustomize
// uses, transport nothing from the first build on. What inspect refuses never gets so far;
// this is for what it may fail to see. Other clients of the program have transports of their
// own.
var goOffline = sync.OnceFunc(func() { http.DefaultTransport = noNetwork{} })

// noNetwork is an HTTP transport that transports nothing.
type noNetwork struct{}

func (noNetwork) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("nothing is fetched while rendering")
}
