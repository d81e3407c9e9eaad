package gitrepo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	"golang.org/x/net/proxy"
)

// connectSSH speaks ssh itself: the library's client obeys no context while it connects
// and reads the user's ssh configuration.
func connectSSH(ep *transport.Endpoint, remote Remote) (connection, error) {
	auth := remote.Auth
	if auth.identity == nil {
		return connection{}, errorf(Invalid, "an ssh URL needs a Secret with the keys identity and known_hosts; add it as secretRef")
	}
	dialer, err := sshDialer(remote.Proxy)
	if err != nil {
		return connection{}, err
	}
	address := net.JoinHostPort(strings.Trim(ep.Host, "[]"), strconv.Itoa(cmp.Or(ep.Port, 22)))
	config := &ssh.ClientConfig{
		User:              cmp.Or(ep.User, "git"),
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(auth.identity)},
		HostKeyCallback:   checkHostKey(auth.hosts),
		HostKeyAlgorithms: auth.hosts.HostKeyAlgorithms(address),
	}
	start := func(ctx context.Context, service string) (*sshSession, error) {
		return openSSH(ctx, dialer, address, config, service+" "+quote(ep.Path))
	}
	open := func(ctx context.Context) (session, error) { return start(ctx, transport.UploadPackServiceName) }
	receive := func(ctx context.Context) (receiver, error) { return start(ctx, transport.ReceivePackServiceName) }
	return connection{open: open, receive: receive, close: func() {}}, nil
}

// sshDialer dials directly or through a SOCKS5 proxy.
func sshDialer(p Proxy) (proxy.ContextDialer, error) {
	if p.url == nil {
		return &net.Dialer{}, nil
	}
	if p.url.Scheme != "socks5" {
		return nil, errorf(Invalid, "an ssh URL can only go through a socks5:// proxy; change the proxy or use the https URL of the repository")
	}
	d, err := proxy.FromURL(p.url, &net.Dialer{})
	if err != nil {
		return nil, errorf(Invalid, "the proxy cannot be used: %v", err)
	}
	return d.(proxy.ContextDialer), nil
}

// checkHostKey says what known_hosts thinks of a key, in our words.
func checkHostKey(hosts *knownhosts.HostKeyDB) ssh.HostKeyCallback {
	check := hosts.HostKeyCallback()
	return func(host string, addr net.Addr, key ssh.PublicKey) error {
		err := check(host, addr, key)
		shown := key.Type() + " " + ssh.FingerprintSHA256(key)
		switch {
		case err == nil:
			return nil
		case knownhosts.IsHostKeyChanged(err):
			return errorf(HostKeyMismatch, "%s shows the host key %s, which is not the one in known_hosts; if the server got a new key, correct known_hosts in the Secret, otherwise somebody may be in between", knownhosts.Normalize(host), shown)
		case knownhosts.IsHostUnknown(err):
			return errorf(HostKeyUnknown, "known_hosts has no key for %s; compare %s with the one the server's owner publishes and add it to known_hosts in the Secret", knownhosts.Normalize(host), shown)
		}
		return errorf(HostKeyMismatch, "the host key %s of %s is not acceptable: %s; correct known_hosts in the Secret", shown, knownhosts.Normalize(host), printable(err.Error()))
	}
}

// sshSession is a session over an ssh connection of its own.
type sshSession struct {
	client *ssh.Client
	remote *ssh.Session
	stdin  io.WriteCloser
	stdout io.Reader
	stderr *firstLines
	stop   func() bool
}

// openSSH connects and starts a command on the server. When the context ends the connection is
// closed, and with it ends whatever waits for it.
func openSSH(ctx context.Context, dialer proxy.ContextDialer, address string, config *ssh.ClientConfig, command string) (*sshSession, error) {
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	s := &sshSession{stderr: &firstLines{}, stop: context.AfterFunc(ctx, func() { conn.Close() })}
	c, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		s.stop()
		conn.Close()
		return nil, err
	}
	s.client = ssh.NewClient(c, channels, requests)
	if err := s.start(command); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *sshSession) start(command string) (err error) {
	if s.remote, err = s.client.NewSession(); err != nil {
		return err
	}
	s.remote.Stderr = s.stderr
	if s.stdin, err = s.remote.StdinPipe(); err != nil {
		return err
	}
	if s.stdout, err = s.remote.StdoutPipe(); err != nil {
		return err
	}
	return s.remote.Start(command)
}

// quote makes one word of a path for the server's shell, as git does.
func quote(path string) string {
	return "'" + strings.NewReplacer(`'`, `'\''`, `!`, `'\!'`).Replace(path) + "'"
}

func (s *sshSession) AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error) {
	refs := packp.NewAdvRefs()
	err := refs.Decode(&limitedReader{s.stdout, maxRefs, errTooManyRefs})
	switch {
	case errors.Is(err, packp.ErrEmptyInput):
		return nil, s.said()
	case errors.Is(err, packp.ErrEmptyAdvRefs) || err == nil && refs.IsEmpty():
		return nil, transport.ErrEmptyRemoteRepository
	case err != nil:
		return nil, err
	}
	transport.FilterUnsupportedCapabilities(refs.Capabilities)
	return refs, nil
}

// said is the error for a server that hung up; what it wrote tells why.
func (s *sshSession) said() error {
	_ = s.remote.Wait()
	return serverSaid(s.stderr.String())
}

func (s *sshSession) UploadPack(_ context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	err := errors.Join(
		req.UploadRequest.Encode(s.stdin),
		req.UploadHaves.Encode(s.stdin, len(req.Haves) > 0),
		pktline.NewEncoder(s.stdin).Encodef("done\n"),
		s.stdin.Close(),
	)
	if err != nil {
		return nil, err
	}
	res := packp.NewUploadPackResponse(req)
	if err := res.Decode(io.NopCloser(s.stdout)); err != nil {
		return nil, fmt.Errorf("%w: %w", errAnswer, err)
	}
	return res, nil
}

func (s *sshSession) ReceivePack(_ context.Context, req *packp.ReferenceUpdateRequest) (*packp.ReportStatus, error) {
	if err := errors.Join(req.Encode(s.stdin), s.stdin.Close()); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, s.said() // it hung up
		}
		return nil, err
	}
	stdout := boundedReport(s.stdout)
	report := packp.NewReportStatus()
	if err := report.Decode(reportIn(req, stdout)); err != nil {
		return nil, fmt.Errorf("%w: %w", errAnswer, err)
	}
	// To hang up now would end what the server does after an update.
	_, err := io.Copy(io.Discard, stdout)
	return report, err
}

func (s *sshSession) Close() error {
	s.stop()
	return s.client.Close()
}

// firstLines keeps the beginning of what is written to it.
type firstLines struct {
	mu   sync.Mutex
	text []byte
}

func (f *firstLines) Write(p []byte) (int, error) {
	const enough = 1 << 10
	f.mu.Lock()
	defer f.mu.Unlock()
	f.text = append(f.text, p[:min(len(p), enough-len(f.text))]...)
	return len(p), nil
}

func (f *firstLines) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return string(f.text)
}
