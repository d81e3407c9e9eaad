package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	pkg := flag.String("package", "./cmd/sluice", "main package of the program")
	name := flag.String("name", "ghcr.io/sluice-dev/sluice", "name of the image, without a tag")
	version := flag.String("version", "", "tag of the image, and what the program says it is (default: the one that manifests/install names)")
	out := flag.String("o", filepath.Join("dist", "sluice.tar"), "file to write")
	flag.Parse()

	if *version == "" {
		installed, err := installedVersion(*name)
		if err != nil {
			return err
		}
		*version = installed
	}
	binary, err := compile(ctx, *pkg, *version)
	if err != nil {
		return err
	}
	about := about{name: *name, version: *version, revision: revision(ctx)}
	size, err := write(*out, about, program{name: filepath.Base(*pkg), content: binary}, authorities())
	if err != nil {
		return err
	}
	fmt.Printf("%s: %s:%s, %.1f MB\n", *out, *name, *version, float64(size)/1e6)
	return nil
}
