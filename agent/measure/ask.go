package measure

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// maxBody bounds what is read of an answer, in bytes.
const maxBody = 1 << 20

// maxRest is how much of an answer is read that nobody asked for, so that the connection can
// be used again.
const maxRest = 64 << 10

// answer is what a server answered.
type answer struct {
	status int
	body   []byte
}

// statusLine is for people: 503 Service Unavailable.
func (a answer) statusLine() string {
	return printable(fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)))
}

// ask sends a request and takes the answer, with its body or without. With an error, the answer has
// what came before it: its status, or nothing.
func ask(ctx context.Context, client *http.Client, request *http.Request, whole bool) (answer, error) {
	if request.Header.Get("User-Agent") == "" {
		request.Header.Set("User-Agent", "sluice")
	}
	response, err := client.Do(request.WithContext(ctx))
	if err != nil {
		return answer{}, explain(ctx, err)
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode}
	if !whole {
		_, _ = io.CopyN(io.Discard, response.Body, maxRest) // the status has been read
		return a, nil
	}
	a.body, err = io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err != nil {
		return answer{status: a.status}, explain(ctx, err)
	}
	if len(a.body) > maxBody {
		return answer{status: a.status}, sayf("its answer has more than %d MiB: ask for less", maxBody>>20)
	}
	return a, nil
}
