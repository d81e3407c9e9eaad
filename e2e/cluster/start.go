package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/sluice-dev/sluice/e2e/program"
	"k8s.io/client-go/tools/clientcmd"
)

// Options of a cluster. The zero value is right for most tests.
type Options struct {
	// Dir is where the cluster is kept. A directory of an earlier cluster is served again,
	// with all objects and the same authorities. Empty: a directory that Stop removes.
	Dir string
	// Nodes is the number of fake nodes. 0 means 1; negative means none.
	Nodes int
	// Webhooks makes the API server call admission webhooks.
	Webhooks bool
	// Stages are files with further kwok Stages of built-in kinds.
	Stages []string
	// Port of the API server. 0 means any free one.
	Port int
	// Bind is the address the API server listens on, 127.0.0.1 by default, and Advertise
	// the one nodes and pods reach it at, by default the same.
	Bind, Advertise string
	// ServiceRange holds the addresses of Services. By default it lies on loopback.
	ServiceRange string
	// APIServerFlags are further flags of kube-apiserver, as --name=value.
	APIServerFlags []string
	// Progress is told how a long build stands. It may be nil.
	Progress io.Writer
}

// startTimeout is ten times what a start takes on a busy machine of two cores.
const startTimeout = 2 * time.Minute

// Start runs a cluster and returns when it is ready: the API server serves, the nodes take
// pods, the default service account exists. The context bounds the start only.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	binary, err := Build(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Dir: o.Dir, binary: binary}
	if c.Dir == "" {
		c.throwAway = true
		if c.Dir, err = os.MkdirTemp("", "sluice-cluster-"); err != nil {
			return nil, err
		}
	}
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return nil, err
	}
	c.Kubeconfig = filepath.Join(c.Dir, "kubeconfig")
	c.audit = newAuditLog(filepath.Join(c.Dir, "audit.log"))
	if err := os.MkdirAll(filepath.Join(c.Dir, "logs"), 0o700); err != nil {
		return nil, err
	}
	began := time.Now()
	if c.controller, err = program.Start(binary, c.Log("controlplane"), nil, o.flags(c.Dir)...); err != nil {
		return nil, errors.Join(err, c.cleanUp())
	}
	if err := c.awaitReady(ctx, began); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	if c.config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	c.config.QPS = -1
	return c, nil
}

func (o Options) flags(dir string) []string {
	nodes := o.Nodes
	if nodes == 0 {
		nodes = 1
	}
	flags := []string{"up", "--dir=" + dir, "--nodes=" + strconv.Itoa(max(nodes, 0))}
	if o.Webhooks {
		flags = append(flags, "--webhooks")
	}
	if o.Port != 0 {
		flags = append(flags, "--port="+strconv.Itoa(o.Port))
	}
	for name, value := range map[string]string{"--bind=": o.Bind, "--advertise=": o.Advertise, "--service-range=": o.ServiceRange} {
		if value != "" {
			flags = append(flags, name+value)
		}
	}
	for _, file := range o.Stages {
		flags = append(flags, "--kwok-stages="+file)
	}
	for _, flag := range o.APIServerFlags {
		flags = append(flags, "--apiserver-flag="+flag)
	}
	return flags
}

// awaitReady waits for the file that says so; one from before is an earlier cluster's.
func (c *Cluster) awaitReady(ctx context.Context, began time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if ready, err := os.Stat(filepath.Join(c.Dir, "ready")); err == nil && ready.ModTime().After(began) {
			return nil
		}
		select {
		case <-c.controller.Done():
			return c.controller.Failure()
		case <-ctx.Done():
			log, _ := os.ReadFile(c.Log("kube-apiserver")) // what was written, if anything
			return fmt.Errorf("the control plane was not ready in time: %w; the API server's log ends:\n%s", ctx.Err(), program.LastLines(log))
		case <-time.After(20 * time.Millisecond):
		}
	}
}
