package node

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// containerdConfig keeps all of containerd's files inside, and has it do without the right to
// make processes less killable, which not every machine's root has.
const containerdConfig = `version = 2
root = %[1]q
state = %[2]q
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
  address = %[3]q

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %[4]q
  restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = %[5]q
  conf_dir = %[6]q

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  BinaryName = "runc"
  SystemdCgroup = false
`

// containerdSocket is where others expect it.
const containerdSocket = "/run/containerd/containerd.sock"

// startContainerd starts containerd and returns when it takes calls.
func (n *Node) startContainerd(context.Context) error {
	plugins, err := pluginDir()
	if err != nil {
		return err
	}
	config := fmt.Sprintf(containerdConfig, inside("containerd"), "/run/containerd", containerdSocket,
		pauseName+":"+pauseVersion, plugins, inside("network"))
	if err := writeFiles(map[string]string{
		"containerd.toml":       config,
		"network/pods.conflist": networkConfig,
	}); err != nil {
		return err
	}
	if err := n.start("containerd", "containerd", "--config", inside("containerd.toml")); err != nil {
		return err
	}
	return n.await("containerd takes calls", 30*time.Second, func() bool {
		connection, err := net.Dial("unix", containerdSocket)
		if err != nil {
			return false
		}
		_ = connection.Close() // it was only to see whether somebody is there
		return true
	})
}

// writeFiles writes files inside.
func writeFiles(files map[string]string) error {
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(inside(name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(inside(name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}
