package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/sluice-dev/sluice/e2e/cluster"
)

// The image that holds a Pod's namespaces, by the name that the kubelet knows it by.
const (
	pauseName    = "registry.k8s.io/pause"
	pauseVersion = "3.10"
	pausePackage = "./e2e/node/pause"
)

// importPause makes the image of e2e/node/pause and imports it.
func (n *Node) importPause(ctx context.Context) error {
	file := inside("pause.tar")
	if err := BuildImage(ctx, file, "-package", pausePackage, "-name", pauseName, "-version", pauseVersion); err != nil {
		return err
	}
	return n.Import(ctx, file)
}

// BuildImage makes an image of a program of this module with the command e2e/image, by
// default the one that manifests/install names.
func BuildImage(ctx context.Context, file string, flags ...string) error {
	root, err := checkout()
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, "go", append([]string{"run", "./e2e/image", "-o", file}, flags...)...)
	command.Dir = root
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("making image %s: %w\n%s", file, err, output)
	}
	return nil
}

// checkout is the top of the checkout that holds the working directory.
func checkout() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "e2e", "image")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no e2e/image above %s: run from within a checkout of sluice", start)
		}
	}
}

// compile builds the control plane and what else is needed, and compiles everything that images
// are made of.
func (n Needs) compile(ctx context.Context) error {
	if _, err := cluster.Build(ctx, os.Stderr); err != nil {
		return err
	}
	if n.Build != nil {
		if _, err := n.Build(ctx, os.Stderr); err != nil {
			return err
		}
	}
	root, err := checkout()
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "./e2e/image", pausePackage}, n.Programs...)...)
	command.Dir = root
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("compiling %v: %w\n%s", n.Programs, err, output)
	}
	return nil
}
