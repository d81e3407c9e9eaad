package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "modelserver:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	drain, err := time.ParseDuration(variable("DRAIN", "5s"))
	if err != nil {
		return fmt.Errorf("DRAIN is no duration such as 5s: %w", err)
	}
	uri := os.Getenv("MODEL_URI")
	if uri == "" {
		return fmt.Errorf("MODEL_URI is not set: set it to the artifact, such as s3://models/fraud/v7/")
	}
	listener, err := net.Listen("tcp", variable("ADDRESS", ":8080"))
	if err != nil {
		return err
	}
	log.Printf("listening on %s, loading %s", listener.Addr(), uri)
	s := newServer(variable("MODEL_NAME", "model"))
	return s.serve(ctx, listener, source{uri, os.Getenv("MODEL_DIGEST")}, func() {
		log.Printf("draining for %s", drain)
		time.Sleep(drain)
	})
}

func variable(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
