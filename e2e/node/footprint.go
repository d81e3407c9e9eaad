package node

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// footprint is what a node is known to leave on a machine that does not take care.
type footprint map[string]string

// contents are the files whose content, and presences the patterns of paths whose presence, is part
// of a footprint.
var (
	contents = []string{
		"/proc/sys/vm/overcommit_memory", "/proc/sys/vm/panic_on_oom", "/proc/sys/kernel/panic", "/proc/sys/kernel/panic_on_oops",
		"/proc/sys/kernel/keys/root_maxkeys", "/proc/sys/kernel/keys/root_maxbytes", "/proc/sys/net/ipv4/ip_forward",
	}
	presences = []string{
		"/run/containerd", "/run/netns/*", "/run/runc", "/etc/cni", "/opt/cni", "/opt/containerd", "/usr/libexec/kubernetes",
		"/var/lib/cni", "/var/lib/containerd", "/var/lib/kubelet", "/var/log/containers", "/var/log/pods",
		"/sys/class/net/cni*", "/sys/class/net/veth*",
		"/sys/fs/cgroup/default", "/sys/fs/cgroup/*/default", "/sys/fs/cgroup/kubepods", "/sys/fs/cgroup/*/kubepods",
		"/sys/fs/cgroup/k8s.io", "/sys/fs/cgroup/*/k8s.io",
	}
)

// look takes the footprint as it is now.
func look() footprint {
	seen := footprint{}
	for _, file := range contents {
		if content, err := os.ReadFile(file); err == nil {
			seen[file] = strings.TrimSpace(string(content))
		}
	}
	for _, pattern := range presences {
		found, _ := filepath.Glob(pattern) // fails on a bad pattern only
		for _, path := range found {
			seen[path] = "there"
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return seen
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "containerd") || strings.Contains(line, "kubelet") {
			seen["mount "+strings.TrimSpace(line)] = "there"
		}
	}
	return seen
}

// differences tells what is otherwise in a later footprint.
func (f footprint) differences(later footprint) []string {
	var differ []string
	all := maps.Clone(f)
	maps.Copy(all, later)
	for _, what := range slices.Sorted(maps.Keys(all)) {
		if f[what] != later[what] {
			differ = append(differ, fmt.Sprintf("%s was %q and is %q", what, f[what], later[what]))
		}
	}
	return differ
}
