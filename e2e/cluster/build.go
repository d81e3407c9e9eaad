package cluster

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// KubernetesVersion is what the control plane reports. It is the version in
// e2e/controlplane/go.mod; a test holds the two together.
const KubernetesVersion = "v1.37.2"

// Build returns the path of the control-plane binary, building it when the cache does not
// have it. Test packages may call it at the same time: one builds, the others wait. A build
// that takes long says how it stands on progress, which may be nil.
func Build(ctx context.Context, progress io.Writer) (binary string, err error) {
	if progress == nil {
		progress = io.Discard
	}
	if runtime.GOOS != "linux" {
		return "", fmt.Errorf("the control plane runs on Linux only, not on %s: use a Linux machine, container or VM", runtime.GOOS)
	}
	module, err := moduleDir()
	if err != nil {
		return "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	key, err := cacheKey(module)
	if err != nil {
		return "", err
	}
	binary = filepath.Join(cache, "controlplane-"+key)
	if cached(binary) {
		return binary, nil
	}

	fmt.Fprintln(progress, "The Kubernetes control plane is not in the cache: building it from source.")
	unlock, err := lock(ctx, filepath.Join(cache, "controlplane.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if cached(binary) { // another process built it while this one waited
		return binary, nil
	}
	if err := compile(ctx, module, binary, progress); err != nil {
		return "", err
	}
	sweep(cache, binary)
	return binary, nil
}

// moduleDir is e2e/controlplane of the checkout that holds the working directory.
func moduleDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for start := dir; ; dir = filepath.Dir(dir) {
		module := filepath.Join(dir, "e2e", "controlplane")
		if _, err := os.Stat(filepath.Join(module, "go.mod")); err == nil {
			return module, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no e2e/controlplane above %s: run from within a checkout of sluice", start)
		}
	}
}

func cacheDir() (string, error) {
	dir := os.Getenv("SLUICE_CACHE")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no place for built binaries: %w; set SLUICE_CACHE to a directory", err)
		}
		dir = filepath.Join(user, "sluice")
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// cacheKey covers everything the binary is made from.
func cacheKey(module string) (string, error) {
	digest := sha256.New()
	fmt.Fprintln(digest, runtime.Version(), runtime.GOOS, runtime.GOARCH, stamps())
	err := filepath.WalkDir(module, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(module, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(digest, "%q %d\n", relative, len(content))
		digest.Write(content)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("reading the sources of the control plane: %w", err)
	}
	return fmt.Sprintf("%x", digest.Sum(nil)[:8]), nil
}

// cached also marks the binary as used, for sweep.
func cached(binary string) bool {
	now := time.Now()
	return os.Chtimes(binary, now, now) == nil
}

// keepUnused is for how long a binary nobody starts stays; each takes 160 MB.
const keepUnused = 7 * 24 * time.Hour

func sweep(cache, current string) {
	binaries, _ := filepath.Glob(filepath.Join(cache, "controlplane-*")) // fails on a bad pattern only
	for _, binary := range binaries {
		info, err := os.Stat(binary)
		if err == nil && binary != current && time.Since(info.ModTime()) > keepUnused {
			_ = os.Remove(binary) // it costs room, no more
		}
	}
}

// compile builds the module into binary, which appears when it is whole.
func compile(ctx context.Context, module, binary string, progress io.Writer) error {
	unfinished := binary + ".unfinished"
	defer os.Remove(unfinished)

	command := exec.CommandContext(ctx, "go", "build", "-v", "-ldflags", "-s -w "+stamps(), "-o", unfinished, ".")
	command.Dir = module
	// One set of flags everywhere: another would compile all 2,700 packages again.
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false", "GOWORK=off")
	packages := &lineCounter{}
	command.Stdout, command.Stderr = packages, packages

	stop := report(progress, packages)
	err := command.Run()
	stop()
	if err != nil {
		return errors.Join(fmt.Errorf("building the control plane in %s: %w", module, err), errors.New(packages.tail()))
	}
	return os.Rename(unfinished, binary)
}

// stamps are the linker flags by which the components know their version.
func stamps() string {
	var flags []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for name, value := range map[string]string{
			"gitVersion":   KubernetesVersion,
			"gitMajor":     strings.Split(KubernetesVersion[1:], ".")[0],
			"gitMinor":     strings.Split(KubernetesVersion[1:], ".")[1],
			"gitCommit":    "unknown",
			"gitTreeState": "clean",
			"buildDate":    "1970-01-01T00:00:00Z",
		} {
			flags = append(flags, fmt.Sprintf("-X %s.%s=%s", pkg, name, value))
		}
	}
	slices.Sort(flags)
	return strings.Join(flags, " ")
}
