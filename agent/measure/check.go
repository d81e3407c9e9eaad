package measure

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// check sends a request and looks at the answer. If that does not have the status that it has to
// have, it is not ok, and its status is the value; an error is for where there is no answer, or no
// value in it.
func (m *Meter) check(ctx context.Context, c v1alpha1.HTTPCheck, vars Variables) (value string, ok bool, err error) {
	filled, err := fillURL(c.URL, vars)
	if err != nil {
		return "", false, about(unread(c.URL), err)
	}
	target, err := parseURL(filled)
	if err != nil {
		return "", false, about(unread(filled), err)
	}
	request, err := newRequest(c, target)
	if err != nil {
		return "", false, about(name(target), err)
	}
	what := request.Method + " " + name(target)
	follow := c.Status < 300 || c.Status > 399 // a redirect may be what is wanted
	a, err := ask(ctx, m.client(nil, follow), request, c.Value != "")
	if ok = a.has(c.Status); a.status != 0 && (!ok || c.Value == "") {
		return strconv.Itoa(a.status), ok, nil
	}
	if err != nil {
		return "", false, about(what, err)
	}
	if value, err = find(a.body, c.Value); err != nil {
		return "", false, about(what, err)
	}
	return value, true, nil
}

// has tells whether an answer has a status; 0 stands for any that means success.
func (a answer) has(status int32) bool {
	if status == 0 {
		return a.status >= 200 && a.status <= 299
	}
	return a.status == int(status)
}

// newRequest makes the request of a check. What the API server lets through is looked at again:
// it may have an older idea of what is allowed.
func newRequest(c v1alpha1.HTTPCheck, target *url.URL) (*http.Request, error) {
	method := c.Method
	if method == "" {
		method = http.MethodGet
	}
	switch {
	case method != http.MethodGet && method != http.MethodHead && method != http.MethodPost:
		return nil, sayf("the method %s is not sent: use GET, HEAD or POST", printable(method))
	case method != http.MethodPost && c.Body != "":
		return nil, sayf("a %s has no body: use POST, or leave the body out", method)
	case method == http.MethodHead && c.Value != "":
		return nil, sayf("the answer to a HEAD has no value: use GET, or leave the value out")
	}
	request, err := http.NewRequest(method, target.String(), strings.NewReader(c.Body))
	if err != nil {
		return nil, sayf("this is no URL of a server: write http://host:port/path or https://host/path")
	}
	if c.Body == "" {
		request.Body, request.GetBody, request.ContentLength = http.NoBody, nil, 0
	} else {
		request.Header.Set("Content-Type", "application/json")
	}
	return request, setHeaders(request, c.Headers)
}

// hopHeaders are about the connection, which is ours.
var hopHeaders = map[string]bool{"Connection": true, "Content-Length": true, "Expect": true, "Keep-Alive": true, "Proxy-Connection": true,
	"Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true}

func setHeaders(request *http.Request, headers map[string]string) error {
	for key, value := range headers {
		canonical := http.CanonicalHeaderKey(key)
		switch {
		case !httpguts.ValidHeaderFieldName(key) || !httpguts.ValidHeaderFieldValue(value):
			return sayf("the header %q cannot be sent: a name has letters, digits and dashes, and a value is one line", printable(key))
		case hopHeaders[canonical]:
			return sayf("the header %s is not yours to set: remove it", canonical)
		case canonical == "Host":
			if !httpguts.ValidHostHeader(value) {
				return sayf("the header Host is no name of a host: correct it")
			}
			request.Host = value
		default:
			request.Header.Set(canonical, value)
		}
	}
	return nil
}
