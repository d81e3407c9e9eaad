package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/objectstore"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// namespace is where manifests/install puts the agent and overlays/sluice its orders.
const namespace = "sluice-system"

// demo is the stage: what runs, and where its files are.
type demo struct {
	root    string // of the checkout
	dir     string // of everything the demo makes
	bin     string // with kubectl and sluice
	binary  string // of the control plane
	cluster *cluster.Cluster
	store   *objectstore.Server
	answers *answers
	git     *gitserver.Server
	repo    *gitserver.Repo
	agent   *agent
	client  client.WithWatch
	board   *board
	// fail ends the demo with a reason, when something ends that should not.
	fail context.CancelCauseFunc
}

func newDemo() (*demo, error) {
	module, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOMOD: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(module)))
	if _, err := os.Stat(filepath.Join(root, "overlays", "sluice")); err != nil {
		return nil, errors.New("overlays/ is not there: run the demo from within a checkout of sluice")
	}
	dir, err := os.MkdirTemp("", "sluice-demo-")
	if err != nil {
		return nil, err
	}
	d := &demo{root: root, dir: dir, bin: filepath.Join(dir, "bin"), board: newBoard()}
	return d, os.Mkdir(d.bin, 0o755)
}

// clone is the work tree that the story's commands run in.
func (d *demo) clone() string { return filepath.Join(d.dir, "platform") }

// agentLog is what the agent has to say.
func (d *demo) agentLog() string { return filepath.Join(d.dir, "agent.log") }

// end stops all that was started. The files stay when the demo failed, for their logs.
func (d *demo) end(failure error) error {
	var errs []error
	if d.agent != nil {
		d.agent.stop()
	}
	if d.cluster != nil {
		errs = append(errs, d.cluster.Stop())
	}
	if d.git != nil {
		errs = append(errs, d.git.Close())
	}
	if d.answers != nil {
		errs = append(errs, d.answers.stop())
	}
	if d.store != nil {
		errs = append(errs, d.store.Stop())
	}
	if failure == nil {
		return errors.Join(append(errs, os.RemoveAll(d.dir))...)
	}
	errs = append(errs, fmt.Errorf("the files are kept in %s: agent.log is the agent's, cluster/logs the control plane's", d.dir))
	return errors.Join(errs...)
}
