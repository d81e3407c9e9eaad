package kfp

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// DefaultAddress is where the distribution has the API.
	DefaultAddress = "http://ml-pipeline.kubeflow:8888"
	// callTimeout is how long a request may take, with its answer.
	callTimeout = 30 * time.Second
	// maxAnswer bounds what is read of an answer, in bytes. A run's answer has all its tasks, and a
	// list of versions all their pipelines.
	maxAnswer = 16 << 20
	// maxCommas bounds how many things an answer has: in memory each is far more than the two bytes that it can be.
	maxCommas = 500_000
	// maxRefusal bounds what is read of an answer with an error.
	maxRefusal = 64 << 10
	// pageSize is the most that the server gives at once, and maxPages how many pages are read.
	pageSize = 200
	maxPages = 50
)

// Client asks one server. It is safe for use by several goroutines and keeps nothing between two calls.
type Client struct {
	// Address of the API, such as DefaultAddress.
	Address string
	// Transport that it shares with others: see NewTransport.
	Transport http.RoundTripper
	// Token for the server. None where it is for a single user.
	Token Token
	// UI is the address of the pages for people, for links: https://kubeflow.example.com/_/pipeline.
	// None: there are no links.
	UI string
	// timeout of a request, with its answer. Default 30 s.
	timeout time.Duration
}

// request is one to the API.
type request struct {
	method, path string
	query        url.Values
	body         []byte
	contentType  string
}

// get asks for something.
func (c *Client) get(ctx context.Context, path string, query url.Values, into any) error {
	return c.call(ctx, request{method: http.MethodGet, path: path, query: query}, into)
}

// post sends a message.
func (c *Client) post(ctx context.Context, path string, message, into any) error {
	body, err := json.Marshal(message)
	if err != nil {
		return sayf(Invalid, "the request cannot be written as JSON: %v", err)
	}
	return c.call(ctx, request{method: http.MethodPost, path: path, body: body, contentType: "application/json"}, into)
}

// call sends a request and reads its answer. Whether to send it again is for others to know.
func (c *Client) call(ctx context.Context, r request, into any) error {
	timeout := c.timeout
	if timeout <= 0 {
		timeout = callTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := c.send(ctx, r, into)
	return about(err, "Kubeflow Pipelines at %s", c.host())
}

func (c *Client) send(ctx context.Context, r request, into any) error {
	base, err := c.base()
	if err != nil {
		return err
	}
	token := ""
	if c.Token != nil {
		if token, err = c.Token(ctx); err != nil {
			return err
		}
	}
	httpRequest, err := http.NewRequestWithContext(ctx, r.method, base+"/apis/v2beta1"+r.path, bytes.NewReader(r.body))
	if err != nil {
		return sayf(Invalid, "its address is no URL of a server: write http://host:port")
	}
	httpRequest.URL.RawQuery = r.query.Encode()
	httpRequest.Header.Set("User-Agent", "sluice")
	if r.contentType != "" {
		httpRequest.Header.Set("Content-Type", r.contentType)
	}
	if token != "" {
		httpRequest.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{Transport: c.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(httpRequest)
	if err != nil {
		return explain(ctx, err)
	}
	defer response.Body.Close()
	return answer(ctx, response, token, into)
}

// host names the server in a sentence, and repeats nothing that could be a password.
func (c *Client) host() string {
	if u, err := url.Parse(c.Address); err == nil && u.Host != "" {
		return printable(u.Host)
	}
	return "an address that is none"
}

// base is the address without what could lead elsewhere.
func (c *Client) base() (string, error) {
	u, err := url.Parse(c.Address)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", sayf(Invalid, "its address is no URL of a server: write http://host:port")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", sayf(Invalid, "its address has more in it than a server and a path: write http://host:port")
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}

// answer reads one into a message, or says what is wrong with it.
func answer(ctx context.Context, response *http.Response, token string, into any) error {
	switch status := response.StatusCode; {
	case status >= 300 && status < 400:
		return sayf(Invalid, "it redirects to another address, where the token is not sent: it wants a login of a person there; write the address inside the cluster")
	case status < 200 || status >= 400:
		body, _ := io.ReadAll(io.LimitReader(response.Body, maxRefusal)) // the status has been read
		return refusal(status, body, token)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return explain(ctx, err)
	}
	unread := &Error{Reason: Broken, unsure: true}
	switch {
	case len(body) > maxAnswer:
		unread.Message = "its answer is larger than 16 MiB, and is not read"
		return unread
	case into == nil:
		return nil
	case bytes.Count(body, []byte(",")) > maxCommas:
		unread.Message = "its answer has more in it than any of its API, and is not read: correct the address"
		return unread
	}
	if err := json.Unmarshal(body, into); err != nil {
		unread.Message = "its answer is not of its API: correct the address, which may be that of the pages for people"
		return unread
	}
	return nil
}

// named is a filter for a field that has to be a value. The server takes it escaped once more than a
// query is, or names with a percent sign would find something else.
func named(field, value string) (string, error) {
	data, err := json.Marshal(map[string]any{"predicates": []any{map[string]any{"operation": "EQUALS", "key": field, "string_value": value}}})
	return url.QueryEscape(string(data)), err
}

// page is of a list.
type page[T any] struct {
	items []T
	next  string
}

// list reads a list to its end. It is an error if that is far: a part of it may lack what is looked for.
func list[T any](query url.Values, read func(url.Values) (page[T], error)) ([]T, error) {
	var items []T
	for range maxPages {
		p, err := read(query)
		if err != nil {
			return nil, err
		}
		items = append(items, p.items...)
		if len(items) > maxPages*pageSize {
			break
		}
		if p.next == "" {
			return items, nil
		}
		query.Set("page_token", p.next)
	}
	return nil, sayf(Broken, "Kubeflow Pipelines: a list has more than %d entries, and is not read: see whether something fills it, and delete what is old", maxPages*pageSize)
}
