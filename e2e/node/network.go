package node

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// The network of a node. It is one of its own, with no way out, so these addresses meet
// nobody else's.
const (
	// Address is the node's, on the bridge to which all Pods are connected. What listens on
	// it can be reached from Pods, from host ports and from the tests.
	Address = "10.88.0.1"

	bridge       = "cni0"
	podRange     = "10.88.0.0/24"
	serviceRange = "10.96.0.0/16"
	dnsService   = "10.96.0.10" // nobody answers: names are not resolved here
)

// buildNetwork makes the loopback and the bridge. Packets to Services are taken off by
// kube-proxy's rules on their way to the bridge, so there must be a way.
func buildNetwork(ctx context.Context) error {
	for _, command := range []string{
		"link set lo up",
		"link add " + bridge + " type bridge",
		"address add " + Address + "/24 dev " + bridge,
		"link set " + bridge + " up",
		"route add " + serviceRange + " dev " + bridge,
	} {
		output, err := exec.CommandContext(ctx, "ip", strings.Fields(command)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", command, err, output)
		}
	}
	return nil
}

// networkConfig tells containerd how a Pod is connected: with an address of the bridge's
// network, and the node as its way to everything else.
const networkConfig = `{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "` + bridge + `",
      "isDefaultGateway": true,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "` + podRange + `", "rangeStart": "10.88.0.10", "gateway": "` + Address + `"}]]
      }
    }
  ]
}
`
