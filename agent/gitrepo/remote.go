package gitrepo

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/plumbing/transport/server"
)

// maxRefs bounds the list of references of a remote, in bytes.
const maxRefs = 64 << 20

// Remote is where a repository is and how to reach it.
type Remote struct {
	URL   string
	Auth  Auth
	Proxy Proxy
}

// secrets lists what must not appear in a message about the remote.
func (r Remote) secrets() []string { return append(r.Auth.secrets(), r.Proxy.secrets()...) }

// session is one conversation with git-upload-pack: the references, then at most one pack.
type session interface {
	AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error)
	UploadPack(context.Context, *packp.UploadPackRequest) (*packp.UploadPackResponse, error)
	Close() error
}

// receiver is one conversation with git-receive-pack: the references, then at most one update.
type receiver interface {
	AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error)
	ReceivePack(context.Context, *packp.ReferenceUpdateRequest) (*packp.ReportStatus, error)
	Close() error
}

// connection opens sessions with one remote.
type connection struct {
	open    func(context.Context) (session, error)
	receive func(context.Context) (receiver, error)
	close   func()
	// multiACK is for servers that insist on being asked for multi_ack.
	multiACK bool
}

// connect prepares a connection; nothing is sent yet.
func connect(remote Remote) (connection, error) {
	ep, err := parseURL(remote.URL)
	if err != nil {
		return connection{}, err
	}
	var c connection
	switch ep.Protocol {
	case "ssh":
		c, err = connectSSH(ep, remote)
	case "file":
		c = connectFile(ep)
	default:
		c, err = connectHTTP(ep, remote)
	}
	c.multiACK = isAzure(ep.Host)
	return c, err
}

// isAzure tells whether a host is Azure DevOps, which refuses to send packs to clients that
// do not ask for multi_ack. The library does not by itself.
func isAzure(host string) bool {
	return host == "dev.azure.com" || strings.HasSuffix(host, ".dev.azure.com") || strings.HasSuffix(host, ".visualstudio.com")
}

// connectHTTP uses a transport of its own for every fetch, so that certificates, proxies
// and connections of one repository never serve another. The proxy of the environment
// counts if the remote has none of its own.
func connectHTTP(ep *transport.Endpoint, remote Remote) (connection, error) {
	config, err := tlsConfig(remote.Auth)
	if err != nil {
		return connection{}, err
	}
	rt := &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: config,
		// A small compressed answer could unfold into an endless one.
		DisableCompression: true,
	}
	if remote.Proxy.url != nil {
		rt.Proxy = http.ProxyURL(remote.Proxy.url)
	}
	client := githttp.NewClient(&http.Client{Transport: bounded{rt}})
	open := func(context.Context) (session, error) {
		// The session changes its endpoint when it is redirected.
		ep := *ep
		return client.NewUploadPackSession(&ep, remote.Auth.method())
	}
	receive := func(context.Context) (receiver, error) {
		ep := *ep
		return client.NewReceivePackSession(&ep, remote.Auth.method())
	}
	return connection{open: open, receive: receive, close: rt.CloseIdleConnections}, nil
}

func tlsConfig(auth Auth) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if auth.certificate != nil {
		config.Certificates = []tls.Certificate{*auth.certificate}
	}
	if auth.ca == nil {
		return config, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AppendCertsFromPEM(auth.ca)
	config.RootCAs = pool
	return config, nil
}

// bounded cuts answers that are read into memory: all but packs. The answer to a push is read
// here, for the library closes it neither at its end nor before.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if req.Method == http.MethodGet || res.StatusCode != http.StatusOK {
		res.Body = http.MaxBytesReader(nil, res.Body, maxRefs)
		return res, nil
	}
	if strings.HasSuffix(req.URL.Path, "/"+transport.ReceivePackServiceName) {
		report, err := io.ReadAll(boundedReport(res.Body))
		if err := errors.Join(err, res.Body.Close()); err != nil {
			return nil, err
		}
		res.Body = io.NopCloser(bytes.NewReader(report))
	}
	return res, nil
}

// connectFile serves a repository on the local disk from within the process.
func connectFile(ep *transport.Endpoint) connection {
	if bare, err := filepath.Glob(filepath.Join(ep.Path, "objects")); err == nil && len(bare) == 0 {
		ep.Path = filepath.Join(ep.Path, ".git")
	}
	client := server.NewClient(server.NewFilesystemLoader(osfs.New("/")))
	open := func(context.Context) (session, error) { return client.NewUploadPackSession(ep, nil) }
	receive := func(context.Context) (receiver, error) { return openFileReceiver(client, ep) }
	return connection{open: open, receive: receive, close: func() {}}
}

// advertise opens a session and asks for the references.
func (c connection) advertise(ctx context.Context) (session, *packp.AdvRefs, error) {
	s, err := c.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	refs, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	return s, refs, nil
}

// limitedReader fails, rather than ends, at its limit: what is cut must not look whole.
type limitedReader struct {
	r    io.Reader
	left int64
	err  error
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, l.err
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}
