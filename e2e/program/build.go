package program

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
	"strings"
	"time"
)

// Program is a main package in a module of its own.
type Program struct {
	// Name of its binaries in the cache.
	Name string
	// Title is what people are told: "the Kubernetes control plane".
	Title string
	// Module is its directory in the checkout: "e2e/controlplane".
	Module string
	// LinkerFlags are given to the linker besides -s -w.
	LinkerFlags string
	// Takes says how long the first build is: "about 8 minutes and 2,700 packages on two cores".
	Takes string
}

// Build returns the path of the binary, building it when the cache does not have it. Test
// packages may call it at the same time: one builds, the others wait. A build that takes long
// says how it stands on progress, which may be nil.
func (p Program) Build(ctx context.Context, progress io.Writer) (binary string, err error) {
	if progress == nil {
		progress = io.Discard
	}
	if runtime.GOOS != "linux" {
		return "", fmt.Errorf("%s runs on Linux only, not on %s: use a Linux machine, container or VM", p.Title, runtime.GOOS)
	}
	module, err := p.moduleDir()
	if err != nil {
		return "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	key, err := p.cacheKey(module)
	if err != nil {
		return "", err
	}
	binary = filepath.Join(cache, p.Name+"-"+key)
	if cached(binary) {
		return binary, nil
	}

	fmt.Fprintf(progress, "%s is not in the cache: building it from source.\n", capital(p.Title))
	unlock, err := lock(ctx, filepath.Join(cache, p.Name+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if cached(binary) { // another process built it while this one waited
		return binary, nil
	}
	if err := p.compile(ctx, module, binary, progress); err != nil {
		return "", err
	}
	p.sweep(cache, binary)
	return binary, nil
}

// moduleDir is the module in the checkout that holds the working directory.
func (p Program) moduleDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for start := dir; ; dir = filepath.Dir(dir) {
		module := filepath.Join(dir, filepath.FromSlash(p.Module))
		if _, err := os.Stat(filepath.Join(module, "go.mod")); err == nil {
			return module, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no %s above %s: run from within a checkout of sluice", p.Module, start)
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
func (p Program) cacheKey(module string) (string, error) {
	digest := sha256.New()
	fmt.Fprintln(digest, runtime.Version(), runtime.GOOS, runtime.GOARCH, p.LinkerFlags)
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
		return "", fmt.Errorf("reading the sources of %s: %w", p.Title, err)
	}
	return fmt.Sprintf("%x", digest.Sum(nil)[:8]), nil
}

// cached also marks the binary as used, for sweep.
func cached(binary string) bool {
	now := time.Now()
	return os.Chtimes(binary, now, now) == nil
}

// keepUnused is for how long a binary nobody starts stays; one may take 160 MB.
const keepUnused = 7 * 24 * time.Hour

func (p Program) sweep(cache, current string) {
	binaries, _ := filepath.Glob(filepath.Join(cache, p.Name+"-*")) // fails on a bad pattern only
	for _, binary := range binaries {
		info, err := os.Stat(binary)
		if err == nil && binary != current && time.Since(info.ModTime()) > keepUnused {
			_ = os.Remove(binary) // it costs room, no more
		}
	}
}

// compile builds the module into binary, which appears when it is whole.
func (p Program) compile(ctx context.Context, module, binary string, progress io.Writer) error {
	unfinished := binary + ".unfinished"
	defer os.Remove(unfinished)

	command := exec.CommandContext(ctx, "go", "build", "-v", "-ldflags", "-s -w "+p.LinkerFlags, "-o", unfinished, ".")
	command.Dir = module
	// One set of flags everywhere: another would compile all packages again.
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false", "GOWORK=off")
	packages := &lineCounter{}
	command.Stdout, command.Stderr = packages, packages

	stop := p.report(progress, packages)
	err := command.Run()
	stop()
	if err != nil {
		return errors.Join(fmt.Errorf("building %s in %s: %w", p.Title, module, err), errors.New(packages.tail()))
	}
	return os.Rename(unfinished, binary)
}

func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
