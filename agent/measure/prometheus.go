package measure

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// query asks a server with Prometheus' HTTP API for one number.
func (m *Meter) query(ctx context.Context, q v1alpha1.PrometheusQuery, vars Variables, secret map[string][]byte) (string, error) {
	server, err := parseURL(q.Address)
	if err == nil && server.RawQuery != "" {
		err = sayf("the address has a query: write the server's address alone")
	}
	if err != nil {
		return "", about(unread(q.Address), err)
	}
	who, err := readCredentials(secret)
	if err != nil {
		return "", about(name(server), err)
	}
	text, err := fillQuery(q.Query, vars)
	if err != nil {
		return "", about(name(server), sayf("the query cannot be sent: %s", err))
	}
	value, err := m.instant(ctx, server, who, text)
	if err != nil {
		return "", about(name(server), err)
	}
	return value, nil
}

// instant runs a query as of now. Where POST is not allowed, as behind some proxies, GET is.
func (m *Meter) instant(ctx context.Context, server *url.URL, who credentials, query string) (string, error) {
	endpoint := server.JoinPath("api", "v1", "query")
	form := url.Values{"query": {query}, "timeout": {m.limit().String()}}.Encode()
	post, err := http.NewRequest(http.MethodPost, endpoint.String(), strings.NewReader(form))
	if err != nil {
		return "", err
	}
	post.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	a, err := m.send(ctx, post, who)
	if err != nil {
		return "", err
	}
	if a.status == http.StatusMethodNotAllowed || a.status == http.StatusNotImplemented {
		endpoint.RawQuery = form
		get, err := http.NewRequest(http.MethodGet, endpoint.String(), nil)
		if err != nil {
			return "", err
		}
		if a, err = m.send(ctx, get, who); err != nil {
			return "", err
		}
	}
	return a.number(who)
}

func (m *Meter) send(ctx context.Context, request *http.Request, who credentials) (answer, error) {
	request.Header.Set("Accept", "application/json")
	who.sign(request)
	a, err := ask(ctx, m.client(who.authorities, true), request, true)
	if a.status != 0 && a.status != http.StatusOK {
		return a, nil // which says enough, whatever became of the rest
	}
	return a, err
}

// reply is an answer of Prometheus' HTTP API.
type reply struct {
	Status string
	Error  string
	Data   struct {
		ResultType string
		Result     json.RawMessage
	}
}

// series is an element of a vector.
type series struct {
	Value     json.RawMessage
	Histogram json.RawMessage
}

// number finds the one number in an answer.
func (a answer) number(who credentials) (string, error) {
	var r reply
	err := json.Unmarshal(a.body, &r)
	if a.status != http.StatusOK || err == nil && r.Status == "error" {
		return "", a.refusal(r, who)
	}
	if err != nil || r.Status != "success" {
		return "", sayf("what answers is no Prometheus, but %s: correct the address", a.looks())
	}
	switch r.Data.ResultType {
	case "scalar":
		return point(r.Data.Result)
	case "vector":
		return single(r.Data.Result)
	case "matrix":
		return "", sayf("the query gives a range of values: make one of it, as with rate(…) or max_over_time(…)")
	}
	return "", sayf("the query gives a %s: ask for a number", printable(r.Data.ResultType))
}

// single takes the number of a vector that has one.
func single(vector json.RawMessage) (string, error) {
	var all []series
	if err := json.Unmarshal(vector, &all); err != nil {
		return "", sayf("what answers is no Prometheus, but something that looks like it: correct the address")
	}
	switch {
	case len(all) == 0:
		return "", sayf("the query gives nothing: no series match; see whether they are scraped, and correct the labels if so")
	case len(all) > 1:
		return "", sayf("the query gives %d series: aggregate it with sum(), or max() or avg()", len(all))
	case all[0].Value == nil:
		return "", sayf("the query gives a histogram: make a number of it, as with histogram_quantile()")
	}
	return point(all[0].Value)
}

// point takes the number of a pair of time and number.
func point(pair json.RawMessage) (string, error) {
	var time json.Number
	var text string
	if err := json.Unmarshal(pair, &[]any{&time, &text}); err != nil {
		return "", sayf("what answers is no Prometheus, but something that looks like it: correct the address")
	}
	switch text {
	case "NaN":
		return "", sayf(`the query gives NaN, as 0/0 does: wait for traffic, or guard the divisor, as with "> 0"`)
	case "+Inf", "-Inf":
		return "", sayf(`the query gives %s, as dividing by 0 does: guard the divisor, as with "> 0"`, text)
	}
	value, ok := decimal(text)
	if !ok {
		return "", sayf("the query gives %q, which is no number: correct the query", printable(text))
	}
	return value, nil
}

// refusal says why a server did not answer the question.
func (a answer) refusal(r reply, who credentials) error {
	said := a.words(r)
	if said != "" {
		said = ": " + strings.TrimRight(printable(who.scrub(said)), ".;")
	}
	switch a.status {
	case http.StatusOK, http.StatusBadRequest, http.StatusUnprocessableEntity:
		if strings.Contains(said, "Client sent an HTTP request to an HTTPS server") { // Go's servers say so
			return sayf("it speaks TLS: write https:// in the address")
		}
		return sayf("it refuses the query%s; correct the query", said)
	case http.StatusUnauthorized, http.StatusForbidden:
		return sayf("it answers %s%s; correct the username and password or the token in the Secret, and what they may read", a.statusLine(), said)
	case http.StatusNotFound:
		return sayf("it answers 404 Not Found: write the address below which /api/v1/query is")
	}
	return sayf("it answers %s%s; see to the server, and correct the address if it is another's", a.statusLine(), said)
}

// words are what a server said besides the status, if it is for people.
func (a answer) words(r reply) string {
	if r.Error != "" {
		return r.Error
	}
	if a.looks() == "text" {
		return string(a.body[:min(len(a.body), 4096)])
	}
	return ""
}

// looks says what an answer seems to be.
func (a answer) looks() string {
	body := bytes.TrimSpace(a.body)
	switch {
	case len(body) == 0:
		return "an empty answer"
	case body[0] == '<':
		return "HTML"
	case json.Valid(body):
		return "other JSON"
	}
	return "text"
}
