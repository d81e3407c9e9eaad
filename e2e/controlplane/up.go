package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

//go:embed audit-policy.yaml
var auditPolicy []byte

// newUpCommand runs a control plane until it is told to stop.
func newUpCommand() *cobra.Command {
	var o options
	command := &cobra.Command{
		Use:   "up",
		Short: "run etcd, the Kubernetes control plane and fake nodes until stopped",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			ctx, stop := untilStopped(o.followStdin)
			defer stop()
			err := up(ctx, o, command.OutOrStdout())
			if ctx.Err() != nil {
				return nil // stopped on request, whatever that cut short
			}
			return err
		},
	}
	o.register(command.Flags())
	return command
}

// up starts the control plane, says when it is ready, and runs it until the context ends
// or a component does.
func up(ctx context.Context, o options, out io.Writer) error {
	began := time.Now()
	l, err := newLayout(o.dir)
	if err != nil {
		return err
	}
	portNumber, err := reservePort(o.bind, o.port)
	if err != nil {
		return err
	}
	server := "https://" + net.JoinHostPort(o.local().String(), strconv.Itoa(portNumber))
	kubernetes, err := firstAddress(o.serviceRange)
	if err != nil {
		return err
	}
	if err := writeCredentials(l, server, []net.IP{o.local(), o.advertised(), kubernetes}); err != nil {
		return err
	}
	if err := os.WriteFile(l.path("run", "audit-policy.yaml"), auditPolicy, 0o644); err != nil {
		return err
	}
	stageFiles, err := writeStages(l, o.stageFiles)
	if err != nil {
		return err
	}
	if err := os.Chdir(string(l)); err != nil { // etcd's sockets are relative to it
		return err
	}
	if _, err := startEtcd(l); err != nil {
		return err
	}

	components := newFamily(l)
	defer components.kill()
	defer os.Remove(l.ready())

	if err := components.start("kube-apiserver", "kube-apiserver", kubeAPIServer(l, o, portNumber)); err != nil {
		return err
	}
	if err := components.attend(ctx, func(ctx context.Context) error { return awaitAPI(ctx, l) }); err != nil {
		return err
	}
	for _, c := range []struct {
		name  string
		flags []string
	}{
		{"kube-controller-manager", kubeControllerManager(l)},
		{"kube-scheduler", kubeScheduler(l)},
		{"kwok", kwok(l, stageFiles)},
	} {
		if err := components.start(c.name, c.name, c.flags); err != nil {
			return err
		}
	}
	return components.attend(ctx, func(ctx context.Context) error {
		if err := furnish(ctx, l, o.nodes); err != nil {
			return err
		}
		if err := os.WriteFile(l.ready(), []byte(server+"\n"), 0o644); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s is ready after %.1f s; kubeconfig: %s\n", server, time.Since(began).Seconds(), l.kubeconfig())
		<-ctx.Done()
		return ctx.Err()
	})
}

// firstAddress is the one Service kubernetes gets.
func firstAddress(serviceRange string) (net.IP, error) {
	_, network, err := net.ParseCIDR(serviceRange)
	if err != nil {
		return nil, fmt.Errorf("--service-range: %w", err)
	}
	first := slices.Clone(network.IP)
	first[len(first)-1]++
	return first, nil
}
