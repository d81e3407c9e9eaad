package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// kubeletConfig has the kubelet make do with cgroups of version 1, with swap and with a full
// disk, keep below its own cgroup, and ask the API server about who asks it for logs.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %[1]s
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %[2]q}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: /%[3]s
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
evictionHard: {memory.available: "0%%", nodefs.available: "0%%", imagefs.available: "0%%"}
imageGCHighThresholdPercent: 100
containerRuntimeEndpoint: unix://%[4]s
clusterDomain: cluster.local
clusterDNS: [%[5]s]
resolvConf: %[6]q
volumePluginDir: %[7]q
`

func (n *Node) startKubelet(ctx context.Context) error {
	if err := n.writeKubeconfig(ctx, "kubelet", "system:node:"+Name, "system:nodes"); err != nil {
		return err
	}
	config := fmt.Sprintf(kubeletConfig, Address, filepath.Join(n.Cluster.Dir, "pki", "ca.crt"), os.Getenv(cgroupVariable),
		containerdSocket, dnsService, inside("resolv.conf"), inside("volume-plugins"))
	if err := writeFiles(map[string]string{"kubelet.yaml": config, "resolv.conf": ""}); err != nil {
		return err
	}
	return n.start("kubelet", n.controlplane, "kubelet",
		"--config="+inside("kubelet.yaml"),
		"--kubeconfig="+inside("kubelet.kubeconfig"),
		"--root-dir="+inside("kubelet"),
		"--cert-dir="+inside("kubelet.pki"),
		"--hostname-override="+Name,
		"--node-ip="+Address)
}

// proxyConfig has kube-proxy leave alone what belongs to the whole machine.
const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: %[1]q}
hostnameOverride: %[2]s
clusterCIDR: %[3]s
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`

func (n *Node) startProxy(ctx context.Context) error {
	if err := n.writeKubeconfig(ctx, "proxy", "system:kube-proxy"); err != nil {
		return err
	}
	if err := writeFiles(map[string]string{"proxy.yaml": fmt.Sprintf(proxyConfig, inside("proxy.kubeconfig"), Name, podRange)}); err != nil {
		return err
	}
	return n.start("kube-proxy", n.controlplane, "kube-proxy", "--config="+inside("proxy.yaml"))
}

// writeKubeconfig gives a part of the node access of its own to the API server.
func (n *Node) writeKubeconfig(ctx context.Context, part, user string, groups ...string) error {
	arguments := []string{"kubeconfig", "--dir", n.Cluster.Dir, "--out", inside(part + ".kubeconfig"), "--user", user}
	for _, group := range groups {
		arguments = append(arguments, "--group", group)
	}
	if output, err := exec.CommandContext(ctx, n.controlplane, arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("access for %s: %w\n%s", part, err, output)
	}
	return nil
}
