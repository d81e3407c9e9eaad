package gitserver

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// SSH serves the same repositories over SSH, to whoever has the identity.
type SSH struct {
	// URL is the server's address, ssh://git@127.0.0.1:PORT.
	URL string
	// KnownHosts is the line of a known_hosts file for the server.
	KnownHosts []byte
	// Identity is the private key that is let in, and AuthorizedKey the public one.
	Identity, AuthorizedKey []byte

	server   *Server
	config   *ssh.ServerConfig
	listener net.Listener

	mu          sync.Mutex
	connections map[net.Conn]bool
}

// ServeSSH starts an SSH server for the repositories, until Close. A server has one.
func (s *Server) ServeSSH() (*SSH, error) {
	host, _, err := newSSHKey()
	if err != nil {
		return nil, err
	}
	client, identity, err := newSSHKey()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &SSH{
		URL:           "ssh://git@" + listener.Addr().String(),
		KnownHosts:    []byte(knownhosts.Line([]string{listener.Addr().String()}, host.PublicKey()) + "\n"),
		Identity:      identity,
		AuthorizedKey: ssh.MarshalAuthorizedKey(client.PublicKey()),
		server:        s,
		listener:      listener,
		connections:   map[net.Conn]bool{},
	}
	h.config = &ssh.ServerConfig{PublicKeyCallback: h.admit(client.PublicKey())}
	h.config.AddHostKey(host)
	s.ssh = h
	go h.accept()
	return h, nil
}

// SSHURL is where to clone the repository from over SSH. The server must have ServeSSH.
func (r *Repo) SSHURL() string { return r.server.ssh.URL + r.path }

func newSSHKey() (signer ssh.Signer, encoded []byte, err error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	block, err := ssh.MarshalPrivateKey(key, "gitserver")
	if err != nil {
		return nil, nil, err
	}
	signer, err = ssh.NewSignerFromSigner(key)
	return signer, pem.EncodeToMemory(block), err
}

func (h *SSH) admit(authorized ssh.PublicKey) func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
	return func(_ ssh.ConnMetadata, shown ssh.PublicKey) (*ssh.Permissions, error) {
		if bytes.Equal(shown.Marshal(), authorized.Marshal()) {
			return nil, nil
		}
		h.server.traffic.add(Traffic{Denied: 1})
		return nil, errors.New("unknown key")
	}
}

func (h *SSH) accept() {
	for {
		connection, err := h.listener.Accept()
		if err != nil {
			return // closed
		}
		h.mu.Lock()
		h.connections[connection] = true
		h.mu.Unlock()
		go h.serve(connection)
	}
}

func (h *SSH) close() error {
	err := h.listener.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	for connection := range h.connections {
		_ = connection.Close() // it may be gone
	}
	return err
}

func (h *SSH) serve(connection net.Conn) {
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.connections, connection)
		_ = connection.Close()
	}()
	_, channels, requests, err := ssh.NewServerConn(connection, h.config)
	if err != nil {
		return // the handshake failed; the client knows why
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		if offered.ChannelType() != "session" {
			_ = offered.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		go h.session(channel, requests)
	}
}

// session runs the one command of a session.
func (h *SSH) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	protocol := ""
	for request := range requests {
		switch request.Type {
		case "env":
			var variable struct{ Name, Value string }
			if ssh.Unmarshal(request.Payload, &variable) == nil && variable.Name == "GIT_PROTOCOL" {
				protocol = variable.Value
			}
			_ = request.Reply(true, nil)
		case "exec":
			var line struct{ Command string }
			if err := ssh.Unmarshal(request.Payload, &line); err != nil {
				_ = request.Reply(false, nil)
				return
			}
			_ = request.Reply(true, nil)
			status := h.run(channel, line.Command, protocol)
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
			return
		default:
			_ = request.Reply(false, nil)
		}
	}
}

// run carries out "git-upload-pack 'PATH'" or "git-receive-pack 'PATH'" and no other command.
func (h *SSH) run(channel ssh.Channel, line, protocol string) (status uint32) {
	service, quoted, _ := strings.Cut(line, " ")
	seen := Traffic{Requests: 1}
	switch service {
	case "git-upload-pack":
		seen.LsRefs = 1 // each begins with the refs
	case "git-receive-pack":
		seen.Pushes = 1
	default:
		fmt.Fprintf(channel.Stderr(), "%s is not served, only git-upload-pack and git-receive-pack\n", service)
		return 1
	}
	h.server.traffic.add(seen)

	dir := filepath.Join(h.server.Dir, filepath.FromSlash(path.Clean("/"+strings.Trim(quoted, "'"))))
	program, err := findGit()
	if err != nil {
		fmt.Fprintln(channel.Stderr(), err)
		return 1
	}
	command := exec.Command(program, strings.TrimPrefix(service, "git-"), dir)
	command.Env = environment("GIT_PROTOCOL=" + protocol)
	command.Stdin = counted{channel, func(n int64) { h.server.traffic.add(Traffic{Received: n}) }}
	command.Stdout = countedWriter{channel, func(n int64) { h.server.traffic.add(Traffic{Sent: n}) }}
	command.Stderr = channel.Stderr()
	return exitStatus(command)
}

// exitStatus runs the command. Its input is a pipe of its own: a client may keep the channel
// open until it has the status.
func exitStatus(command *exec.Cmd) uint32 {
	input := command.Stdin
	command.Stdin = nil
	pipe, err := command.StdinPipe()
	if err != nil {
		return 1
	}
	if err := command.Start(); err != nil {
		return 1
	}
	go func() {
		_, _ = io.Copy(pipe, input)
		_ = pipe.Close()
	}()
	_ = command.Wait() // ProcessState tells
	return uint32(command.ProcessState.ExitCode())
}

type countedWriter struct {
	io.Writer
	add func(int64)
}

func (c countedWriter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.add(int64(n))
	return n, err
}
