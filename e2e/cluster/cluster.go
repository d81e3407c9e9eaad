package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/sluice-dev/sluice/e2e/program"
	"k8s.io/client-go/rest"
)

// Cluster is a control plane that runs.
type Cluster struct {
	// Dir holds everything of the cluster; logs are in logs/, one file per component.
	Dir string
	// Kubeconfig is the path of an administrator's kubeconfig.
	Kubeconfig string

	config     *rest.Config
	binary     string
	throwAway  bool // Stop removes Dir
	controller *program.Process
	simulators []*program.Process
	audit      *auditLog
}

// Config returns an administrator's access, without a client-side limit on requests: it is
// the API server that says when it has enough. Set UserAgent on it to tell clients apart in
// Requests.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Stop ends the cluster at once, and removes its directory if Start made it.
func (c *Cluster) Stop() error {
	for _, simulator := range c.simulators {
		simulator.Stop()
	}
	c.controller.Stop()
	return c.cleanUp()
}

func (c *Cluster) cleanUp() error {
	if c.throwAway {
		return os.RemoveAll(c.Dir)
	}
	return nil
}

// Done is closed when the control plane has ended, by Stop or because a component failed;
// then logs/controlplane.log says which and why.
func (c *Cluster) Done() <-chan struct{} { return c.controller.Done() }

// Log is the path of a component's log: etcd, kube-apiserver, kube-controller-manager,
// kube-scheduler, kwok, or controlplane, which runs them.
func (c *Cluster) Log(component string) string { return logPath(c.Dir, component) }

// Pause stops a component (see Log) where it is: connections to it stay open and nothing
// answers, as when a machine hangs.
func (c *Cluster) Pause(component string) error { return c.signal(component, syscall.SIGSTOP) }

// Resume lets a paused component go on.
func (c *Cluster) Resume(component string) error { return c.signal(component, syscall.SIGCONT) }

func (c *Cluster) signal(component string, signal syscall.Signal) error {
	content, err := os.ReadFile(filepath.Join(c.Dir, "run", component+".pid"))
	if err != nil {
		return fmt.Errorf("component %s of the cluster: %w", component, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return fmt.Errorf("component %s of the cluster: %w", component, err)
	}
	return syscall.Kill(pid, signal)
}

func logPath(dir, component string) string {
	return filepath.Join(dir, "logs", component+".log")
}
