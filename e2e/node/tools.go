package node

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// tool is a program that a node needs, and the Debian package that has it.
type tool struct{ program, pkg string }

var tools = []tool{
	{"containerd", "containerd"},
	{"containerd-shim-runc-v2", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"}, // crun of Debian 12 cannot do with cgroups of both versions at once
	{"nft", "nftables"},
	{"ip", "iproute2"},
}

// plugins are the network plugins that a Pod's network is made with.
var plugins = []tool{
	{"bridge", "containernetworking-plugins"},
	{"host-local", "containernetworking-plugins"},
	{"loopback", "containernetworking-plugins"},
}

// install makes sure that all tools are there, with Debian's packages.
func install(ctx context.Context, progress io.Writer) error {
	missing := missingPackages()
	if len(missing) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("this machine lacks what Debian's packages %s have: install it", strings.Join(missing, ", "))
	}
	fmt.Fprintf(progress, "A real node needs %s: installing Debian's packages of that name. They stay.\n", strings.Join(missing, ", "))
	// Without a list of packages nothing can be installed; with an old one it may work.
	listed, listing := aptGet(ctx, "update")
	if output, err := aptGet(ctx, append([]string{"install", "--yes", "--no-install-recommends"}, missing...)...); err != nil {
		if listing != nil {
			output = listed + output
		}
		return fmt.Errorf("installing %s: %w\n%s", strings.Join(missing, ", "), err, output)
	}
	if missing := missingPackages(); len(missing) > 0 {
		return fmt.Errorf("this machine lacks what Debian's packages %s have, although they are installed", strings.Join(missing, ", "))
	}
	return nil
}

func missingPackages() []string {
	var missing []string
	for _, t := range tools {
		if _, err := exec.LookPath(t.program); err != nil {
			missing = append(missing, t.pkg)
		}
	}
	if _, err := pluginDir(); err != nil {
		missing = append(missing, plugins[0].pkg)
	}
	slices.Sort(missing)
	return slices.Compact(missing)
}

// pluginDir is where the network plugins are.
func pluginDir() (string, error) {
	for _, dir := range []string{"/usr/lib/cni", "/usr/libexec/cni", "/opt/cni/bin"} {
		if !slices.ContainsFunc(plugins, func(p tool) bool {
			_, err := os.Stat(filepath.Join(dir, p.program))
			return err != nil
		}) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no network plugins: install %s", plugins[0].pkg)
}

func aptGet(ctx context.Context, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, "apt-get", append([]string{"-o", "DPkg::Lock::Timeout=300", "--quiet"}, arguments...)...)
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	output, err := command.CombinedOutput()
	return string(output), err
}
