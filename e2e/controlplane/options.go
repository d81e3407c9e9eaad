package main

import (
	"errors"
	"fmt"
	"net"

	"github.com/spf13/pflag"
)

// options of "controlplane up".
type options struct {
	dir            string
	bind           net.IP
	advertise      net.IP
	port           int
	serviceRange   string
	nodes          int
	stageFiles     []string
	webhooks       bool
	apiServerFlags []string
	followStdin    bool
}

func (o *options) register(flags *pflag.FlagSet) {
	flags.StringVar(&o.dir, "dir", "", "directory of the control plane; kept data is served again")
	flags.IPVar(&o.bind, "bind", net.IPv4(127, 0, 0, 1), "address the API server listens on")
	flags.IPVar(&o.advertise, "advertise", nil, "address that nodes and pods reach the API server at (default: the one of --bind)")
	flags.IntVar(&o.port, "port", 0, "port of the API server (default: any free one)")
	flags.StringVar(&o.serviceRange, "service-range", "127.96.0.0/16", "addresses of Services; calls to them leave the machine unless the range is on loopback or kube-proxy runs")
	flags.IntVar(&o.nodes, "nodes", 1, "number of fake nodes")
	flags.StringArrayVar(&o.stageFiles, "kwok-stages", nil, "file with further kwok Stages of built-in kinds (for others see controlplane simulate); may be repeated")
	flags.BoolVar(&o.webhooks, "webhooks", false, "call admission webhooks (off: a platform whose webhook servers do not run can be applied)")
	flags.StringArrayVar(&o.apiServerFlags, "apiserver-flag", nil, "further flag of kube-apiserver, as --name=value; may be repeated")
	registerFollowStdin(flags, &o.followStdin)
}

func (o *options) validate() error {
	switch {
	case o.dir == "":
		return errors.New("--dir is required: the directory to keep the control plane in")
	case o.bind == nil:
		return errors.New("--bind must be an IP address")
	case o.bind.IsUnspecified() && o.advertise == nil:
		return fmt.Errorf("--bind=%s needs --advertise with the address to reach it at", o.bind)
	case o.nodes < 0:
		return errors.New("--nodes must not be negative")
	}
	return nil
}

// advertised is the address the API server gives of itself.
func (o *options) advertised() net.IP {
	if o.advertise != nil {
		return o.advertise
	}
	return o.bind
}

// local is the address processes of this machine reach the API server at.
func (o *options) local() net.IP {
	if o.bind.IsUnspecified() {
		return net.IPv4(127, 0, 0, 1)
	}
	return o.bind
}

// endpointReconciler says who maintains the endpoints of Service kubernetes. They cannot
// be on loopback (the API rejects them), so there are none unless the address is another.
func (o *options) endpointReconciler() string {
	if o.advertised().IsLoopback() {
		return "none"
	}
	return "lease"
}
