package artifact

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
)

// web is one file at a URL.
type web struct {
	at     location
	client *http.Client
	line   *line
}

func (i *Inspector) openWeb(at location, c Credentials) (store, error) {
	trusted, err := c.authorities()
	if err != nil {
		return nil, err
	}
	line := i.newLine(trusted, false)
	return &web{at: at, line: line, client: &http.Client{Transport: line, CheckRedirect: follow}}, nil
}

// follow lets a server send us elsewhere, a few times and not to where nothing is encrypted.
func follow(r *http.Request, before []*http.Request) error {
	if r.URL.Scheme != "https" || len(before) > 5 {
		return http.ErrUseLastResponse
	}
	return nil
}

func (w *web) id() string { return "web " + w.at.uri }

func (w *web) close() { w.line.base.CloseIdleConnections() }

// list asks for the headers of the file, and where a server has none of them without the file,
// for the file, which is not read.
func (w *web) list(ctx context.Context, _ int) (listing, error) {
	answer, err := w.send(ctx, http.MethodHead, file{}, 0)
	if e, refused := errors.AsType[statusError](err); refused && e != http.StatusNotFound || err == nil && answer.ContentLength < 0 {
		answer, err = w.send(ctx, http.MethodGet, file{}, 0)
	}
	if err != nil {
		return listing{}, err
	}
	if answer.ContentLength < 0 {
		return listing{}, errorf(Invalid, "the server does not say how long the file is: serve it with a Content-Length")
	}
	return listing{single: true, files: []file{{name: path.Base(w.at.path), key: w.at.uri, size: answer.ContentLength, tag: tagOf(answer)}}}, nil
}

// send sends a request and returns the answer, closed unless it is for a file.
func (w *web) send(ctx context.Context, method string, f file, offset int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, w.at.uri, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept-Encoding", "identity")
	if offset > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	answer, err := w.client.Do(request)
	if err != nil {
		return nil, err
	}
	want := http.StatusOK
	if offset > 0 {
		want = http.StatusPartialContent
	}
	if answer.StatusCode != want {
		return nil, closing(answer.Body, statusError(answer.StatusCode))
	}
	if f.key == "" {
		return answer, answer.Body.Close()
	}
	if tagOf(answer) != f.tag {
		return nil, closing(answer.Body, errChanged)
	}
	return answer, nil
}

// tagOf is what changes with the content of a file.
func tagOf(answer *http.Response) string {
	if tag := answer.Header.Get("ETag"); tag != "" {
		return strings.Trim(strings.TrimPrefix(tag, "W/"), `"`)
	}
	return answer.Header.Get("Last-Modified")
}

// open reads the file from an offset on.
func (w *web) open(ctx context.Context, f file, offset int64) (reader, error) {
	answer, err := w.send(forFile(ctx), http.MethodGet, f, offset)
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}
