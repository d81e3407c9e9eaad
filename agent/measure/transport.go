package measure

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	// maxConnections is how many connections a server has to bear at once.
	maxConnections = 4
	// maxRedirects that are followed.
	maxRedirects = 5
	// maxHeader bounds the headers of an answer, in bytes.
	maxHeader = 64 << 10
	// maxAuthorities is for how many sets of authorities connections are kept.
	maxAuthorities = 64
)

// transport returns the one for some authorities, PEM-encoded, besides those of the system. Each
// set has one of its own: who trusts an authority should not lend its connections to who does
// not.
func (m *Meter) transport(authorities []byte) *http.Transport {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t, ok := m.transports[string(authorities)]; ok {
		return t
	}
	if m.transports == nil {
		m.transports = map[string]*http.Transport{}
	}
	for key, t := range m.transports {
		if len(m.transports) < maxAuthorities {
			break
		}
		delete(m.transports, key)
		t.CloseIdleConnections()
	}
	t := m.newTransport(authorities)
	m.transports[string(authorities)] = t
	return t
}

func (m *Meter) newTransport(authorities []byte) *http.Transport {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(authorities) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		pool.AppendCertsFromPEM(authorities)
		config.RootCAs = pool
	}
	dialer := &net.Dialer{Timeout: m.limit(), Control: m.control}
	return &http.Transport{
		Proxy:                  nil, // see the package's comment
		DialContext:            dialer.DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    m.limit(),
		MaxConnsPerHost:        maxConnections,
		MaxIdleConnsPerHost:    maxConnections,
		MaxIdleConns:           64,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxHeader,
		// A small compressed answer could unfold into a large one.
		DisableCompression: true,
	}
}

// client sends requests and follows redirects within a server, or none.
func (m *Meter) client(authorities []byte, follow bool) *http.Client {
	return &http.Client{
		Transport: m.transport(authorities),
		CheckRedirect: func(next *http.Request, before []*http.Request) error {
			switch first := before[0].URL; {
			case !follow:
				return http.ErrUseLastResponse
			case next.URL.Scheme != first.Scheme || next.URL.Host != first.Host:
				return redirectError{"it redirects to another server, " + name(&url.URL{Scheme: next.URL.Scheme, Host: next.URL.Host}) + ", where it is not followed: write the address of the server that answers"}
			case len(before) > maxRedirects:
				return redirectError{fmt.Sprintf("it redirects more than %d times: write the address that answers", maxRedirects)}
			}
			return nil
		},
	}
}

// redirectError is the error of a redirect that is not followed.
type redirectError struct{ message string }

func (e redirectError) Error() string { return e.message }
