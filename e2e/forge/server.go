package forge

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/e2e/program"
)

// Options of a server. The zero value serves over plain HTTP.
type Options struct {
	// TLS makes the server speak HTTPS, with a certificate of its own.
	TLS bool
	// Progress is told how a long build stands. It may be nil.
	Progress io.Writer
}

// Server is a forge that runs.
type Server struct {
	// URL of its front page, without a slash at its end.
	URL string
	// CA is the certificate to trust, PEM-encoded. Empty without TLS.
	CA []byte
	// Admin may do everything.
	Admin *User
	// Dir keeps all that it has. gitea.log in it is its log.
	Dir string

	gitea   *program.Process
	direct  *http.Client // to Gitea, past the proxy
	front   *httptest.Server
	back    *httptest.Server // for our own pushes: as front, but not counted and not disturbed
	traffic traffic

	mu    sync.Mutex
	fault Fault
}

// module is Gitea's, in the go.mod of server.
const module = "code.gitea.io/gitea"

// Build returns the path of the server's binary, building it when the cache does not have it.
// A build that takes long says how it stands on progress, which may be nil.
func Build(ctx context.Context, progress io.Writer) (binary string, err error) {
	return program.Program{
		Name:   "forge",
		Title:  "the forge Gitea",
		Module: "e2e/forge/server",
		Takes:  "about 6 minutes and 1,500 packages on two cores",
	}.Build(ctx, progress)
}

// Start runs a server and returns when it serves. The context bounds the start only.
func Start(ctx context.Context, o Options) (*Server, error) {
	binary, err := Build(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	static, err := moduleDir(ctx)
	if err != nil {
		return nil, err
	}
	s := &Server{}
	if s.Dir, err = os.MkdirTemp("", "sluice-forge-"); err != nil { // short: a socket's path is at most 107 bytes
		return nil, err
	}
	s.direct = &http.Client{Transport: dialer(s.socket())}
	s.serve(o.TLS) // first, for Gitea has to know its address
	if err := s.style(static); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "app.ini"), []byte(s.settings(static)), 0o600); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	// Each push starts the program several times, as Git's hooks: with less garbage collection in half the time.
	environment := []string{"HOME=" + s.Dir, "GOGC=400"}
	s.gitea, err = program.Start(binary, filepath.Join(s.Dir, "gitea.log"), environment, "serve", s.Dir)
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	if err := s.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	if err := s.createAdmin(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// moduleDir is where the Go module cache has Gitea; the go command fetches it if it is not there.
func moduleDir(ctx context.Context) (string, error) {
	ours, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("finding the checkout with go env GOMOD: %w", err)
	}
	command := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	command.Dir = filepath.Join(filepath.Dir(strings.TrimSpace(string(ours))), "e2e", "forge", "server")
	command.Env = append(os.Environ(), "GOWORK=off")
	output, err := command.Output()
	var answer struct{ Dir, Error string }
	if problem := json.Unmarshal(output, &answer); err != nil || problem != nil || answer.Dir == "" {
		return "", errors.Join(fmt.Errorf("go mod download %s in %s: %s", module, command.Dir, answer.Error), err, problem)
	}
	return answer.Dir, nil
}

func (s *Server) socket() string { return filepath.Join(s.Dir, "web.sock") }

// dialer connects to a Unix socket whatever the address.
func dialer(socket string) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
		DisableCompression:  true,
		MaxIdleConnsPerHost: 100,
	}
}

// serve puts the proxies before Gitea.
func (s *Server) serve(overTLS bool) {
	s.front = httptest.NewUnstartedServer(s.traffic.record(s.misbehaving(s.gate())))
	s.front.Config.ErrorLog = silent()
	if overTLS {
		s.front.StartTLS()
		s.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.front.Certificate().Raw})
	} else {
		s.front.Start()
	}
	s.URL = s.front.URL
	s.back = httptest.NewServer(s.gate())
}

// startTimeout is twenty times what a start takes.
const startTimeout = time.Minute

func (s *Server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := s.healthy(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.gitea.Done():
			return s.gitea.Failure()
		case <-ctx.Done():
			return fmt.Errorf("Gitea was not ready in time: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *Server) healthy(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gitea/api/healthz", nil)
	if err != nil {
		return err
	}
	response, err := s.direct.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it says %s", response.Status)
	}
	return nil
}

// Stop ends the server at once and removes all it has.
func (s *Server) Stop() error {
	for _, proxy := range []*httptest.Server{s.front, s.back} {
		if proxy != nil {
			proxy.CloseClientConnections()
			proxy.Close()
		}
	}
	if s.gitea != nil {
		s.gitea.Stop()
	}
	return removeAll(s.Dir)
}

// removeAll has patience with git processes that are about to end and still write.
func removeAll(dir string) (err error) {
	for range 100 {
		if err = os.RemoveAll(dir); err == nil || errors.Is(err, fs.ErrPermission) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// Page is the URL of a page, for a browser: Page("ml/platform/pulls/1").
func (s *Server) Page(path string) string { return s.URL + "/" + strings.TrimPrefix(path, "/") }

// door asks the second socket of the server command, which has what the REST API has not.
func (s *Server) door(ctx context.Context, method, path string, form url.Values, out any) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://door"+path+"?"+form.Encode(), nil)
	if err != nil {
		return err
	}
	transport := dialer(filepath.Join(s.Dir, "door.sock"))
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	return decode(response, out)
}

func (s *Server) createAdmin(ctx context.Context) error {
	s.Admin = s.newUser("root")
	form := url.Values{"name": {s.Admin.Name}, "email": {s.Admin.Email}, "password": {s.Admin.Password}}
	if err := s.door(ctx, http.MethodPost, "/administrator", form, nil); err != nil {
		return fmt.Errorf("creating the administrator: %w", err)
	}
	return s.Admin.equip(ctx)
}

func (s *Server) newUser(name string) *User {
	return &User{Name: name, Email: name + "@example.com", Password: rand.Text(), server: s}
}
