package prometheus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Options of a server.
type Options struct {
	// Targets to scrape at /metrics, each as host:port.
	Targets []string
	// Every is how often they are scraped. Default 200ms.
	Every time.Duration
	// Address to listen on, as host:port. Default: a free port of 127.0.0.1. A server that comes
	// after another one can take its place so; it knows nothing of what the first one has scraped.
	Address string
}

// Server is a Prometheus that runs.
type Server struct {
	// URL is the server's address.
	URL string
	// Address is the same as host:port.
	Address string

	dir     string
	process *os.Process
	done    chan struct{} // closed when it has ended
	state   *os.ProcessState
}

// startTimeout is a hundred times what a start takes.
const startTimeout = time.Minute

// Start runs a server and returns when it is ready to be asked. The context bounds the start only.
func Start(ctx context.Context, o Options) (_ *Server, err error) {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		return nil, fmt.Errorf("%w: install Debian's package prometheus, as make tools does", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s := &Server{done: make(chan struct{})}
	if s.dir, err = os.MkdirTemp("", "sluice-prometheus-"); err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.path("prometheus.yml"), []byte(o.config()), 0o600); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	if err := s.run(program, o.flags(s)); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", program, err), os.RemoveAll(s.dir))
	}
	if err := s.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (o Options) config() string {
	every := o.Every
	if every == 0 {
		every = 200 * time.Millisecond
	}
	var b strings.Builder
	fmt.Fprintf(&b, "global: {scrape_interval: %dms, scrape_timeout: %[1]dms}\n", every.Milliseconds())
	b.WriteString("scrape_configs:\n- job_name: targets\n  honor_labels: true\n  static_configs:\n  - targets:\n")
	for _, target := range o.Targets {
		fmt.Fprintf(&b, "    - %q\n", target)
	}
	return b.String()
}

func (o Options) flags(s *Server) []string {
	address := o.Address
	if address == "" {
		address = "127.0.0.1:0"
	}
	return []string{
		"--config.file=" + s.path("prometheus.yml"),
		"--storage.tsdb.path=" + s.path("data"),
		"--web.listen-address=" + address,
	}
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

// run starts the program. The thread that starts it waits for it, because it is with this thread
// that the kernel would end it (see tether).
func (s *Server) run(program string, flags []string) error {
	log, err := os.Create(s.path("log"))
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(program, flags...)
	command.Stdout, command.Stderr, command.SysProcAttr = log, log, tether()
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		started <- err
		if err != nil {
			return
		}
		_ = command.Wait() // the state tells
		s.state = command.ProcessState
		close(s.done)
	}()
	if err := <-started; err != nil {
		return err
	}
	s.process = command.Process
	return nil
}

// Stop ends the server at once and removes its files.
func (s *Server) Stop() error {
	_ = s.process.Kill() // it has ended otherwise
	<-s.done
	return os.RemoveAll(s.dir)
}

// Pause stops the server where it is: it takes connections and does not answer, as when a
// machine hangs. It returns when all of its threads have stopped: a signal only asks for that.
func (s *Server) Pause() error {
	if err := s.process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		stopped, err := s.stopped()
		if stopped || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return errors.New("prometheus goes on though it was told to stop")
		}
	}
}

// stopped tells whether each thread of the server is stopped.
func (s *Server) stopped() (bool, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.process.Pid))
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil {
			return false, err
		}
		if _, state, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(state, "T") {
			return false, nil
		}
	}
	return len(threads) > 0, err
}

// Resume lets a paused server go on.
func (s *Server) Resume() error { return s.process.Signal(syscall.SIGCONT) }

// Log is what the server has logged.
func (s *Server) Log() string {
	content, err := os.ReadFile(s.path("log"))
	if err != nil {
		return err.Error()
	}
	return string(content)
}

// listening is the line of the log that has the port.
var listening = regexp.MustCompile(`msg="Listening on".* address=(\S+)`)

// awaitReady waits until the server answers.
func (s *Server) awaitReady(ctx context.Context) error {
	for {
		if found := listening.FindStringSubmatch(s.Log()); found != nil {
			s.Address = found[1]
			s.URL = "http://" + s.Address
			if ready(ctx, s.URL) {
				return nil
			}
		}
		select {
		case <-s.done:
			return fmt.Errorf("prometheus ended (%s):\n%s", s.state, s.Log())
		case <-ctx.Done():
			return fmt.Errorf("prometheus was not ready in time: %w\n%s", ctx.Err(), s.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func ready(ctx context.Context, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/-/ready", nil)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}
