// Command server is the S3 gateway versitygw, with the files of a directory as its objects, on
// a Unix socket. Package objectstore starts it.
//
// It is the gateway of versitygw's own command, embedded: signatures, multipart uploads,
// conditional requests and errors are those of a real S3 server. Metadata of objects (their
// ETags) are files beside them, since not every file system has extended attributes.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run() error {
	dir := flag.String("dir", "", "directory of the buckets and their metadata")
	socket := flag.String("socket", "", "Unix socket to listen on")
	follow := flag.Bool("follow-stdin", false, "stop when standard input is closed, as it is when the process at its other end dies")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if *follow {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(0) // nothing is lost: what was answered is in the files
		}()
	}
	buckets, attributes := filepath.Join(*dir, "buckets"), filepath.Join(*dir, "attributes")
	for _, made := range []string{buckets, attributes} {
		if err := os.MkdirAll(made, 0o755); err != nil {
			return err
		}
	}
	beside, err := meta.NewSideCar(attributes)
	if err != nil {
		return err
	}
	files, err := posix.New(buckets, beside, posix.PosixOpts{SideCarDir: attributes, Concurrency: 1000})
	if err != nil {
		return err
	}
	return embedgw.RunVersityGW(ctx, files, &embedgw.Config{
		RootUserAccess:    os.Getenv("ROOT_ACCESS_KEY"),
		RootUserSecret:    os.Getenv("ROOT_SECRET_KEY"),
		Ports:             []string{*socket},
		MaxConnections:    1000,
		MaxRequests:       1000,
		MultipartMaxParts: 10000,
		KeepAlive:         true,
		Quiet:             true,
	})
}
