package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-dev/sluice/e2e/cluster"
)

// Name is the Node's.
const Name = "real"

// startTimeout is ten times what a start takes on a busy machine of two cores.
const startTimeout = 2 * time.Minute

// Node is a real node with a control plane of its own.
type Node struct {
	// Cluster is the control plane. It has no other nodes.
	Cluster *cluster.Cluster

	controlplane string // the binary that is kubelet, kube-proxy and kubectl, too
	processes    []*process
}

// Start runs a control plane and a node, and returns when the node takes Pods. One runs at a
// time. The context bounds the start only.
func Start(ctx context.Context) (_ *Node, err error) {
	if errUnavailable != nil {
		return nil, errUnavailable
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	n := &Node{}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Stop())
		}
	}()
	if err := os.MkdirAll(inside("logs"), 0o755); err != nil {
		return nil, err
	}
	if err := buildNetwork(ctx); err != nil {
		return nil, err
	}
	if n.controlplane, err = cluster.Build(ctx, nil); err != nil {
		return nil, err
	}
	n.Cluster, err = cluster.Start(ctx, cluster.Options{
		Bind: "0.0.0.0", Advertise: Address, ServiceRange: serviceRange, Nodes: -1,
		APIServerFlags: []string{"--kubelet-preferred-address-types=InternalIP"}, // no name is resolved here
	})
	if err != nil {
		return nil, err
	}
	for _, part := range []func(context.Context) error{n.startContainerd, n.importPause, n.startKubelet, n.startProxy, n.awaitReady} {
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Stop ends the control plane and the node. Containers go on until the tests end.
func (n *Node) Stop() error {
	for _, p := range n.processes {
		p.stop()
	}
	if n.Cluster == nil {
		return nil
	}
	return n.Cluster.Stop()
}

// Kubectl runs kubectl as the cluster's administrator and returns what it prints.
func (n *Node) Kubectl(ctx context.Context, arguments ...string) (string, error) {
	return n.KubectlStdin(ctx, nil, arguments...)
}

// KubectlStdin does so with something on standard input.
func (n *Node) KubectlStdin(ctx context.Context, stdin io.Reader, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, n.controlplane, append([]string{"kubectl"}, arguments...)...)
	command.Env = append(os.Environ(), "KUBECONFIG="+n.Cluster.Kubeconfig)
	command.Stdin = stdin
	output, err := command.CombinedOutput()
	if err != nil {
		return string(output), fmt.Errorf("kubectl %s: %w\n%s", strings.Join(arguments, " "), err, output)
	}
	return string(output), nil
}

// Import gives containerd the images of a tar file, as `docker save` and e2e/image write it.
func (n *Node) Import(ctx context.Context, file string) error {
	output, err := exec.CommandContext(ctx, "ctr", "--address", containerdSocket, "--namespace", "k8s.io", "images", "import", file).CombinedOutput()
	if err != nil {
		return fmt.Errorf("importing %s: %w\n%s", file, err, output)
	}
	return nil
}

// awaitReady waits for the Node to take Pods.
func (n *Node) awaitReady(ctx context.Context) error {
	api, err := kubernetes.NewForConfig(n.Cluster.Config())
	if err != nil {
		return err
	}
	why := "it has not registered"
	err = wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		if err := n.failure(); err != nil {
			return false, err
		}
		node, err := api.CoreV1().Nodes().Get(ctx, Name, metav1.GetOptions{})
		if err != nil {
			return false, nil
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady {
				why = c.Message
				return c.Status == corev1.ConditionTrue && len(node.Spec.Taints) == 0, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("the node does not get ready (%s): %w\n%s", why, err, n.Logs())
	}
	return nil
}
