package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/sluice-dev/sluice/e2e/bucket"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "trainer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	o, err := readOrder(os.Getenv)
	if err != nil {
		return err
	}
	store := bucket.Open(os.Getenv)
	rows, err := gather(ctx, store, o.data)
	if err != nil {
		return err
	}
	log.Print("training with ", rows)
	made, err := o.train(rows)
	if err != nil {
		return err
	}
	if err := made.write(ctx, store, o.run); err != nil {
		return err
	}
	log.Printf("%s: %v", made.said.URI, made.said.Metrics)
	return nil
}
