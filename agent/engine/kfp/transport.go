package kfp

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

const (
	// maxConnections is how many connections a server has to bear at once.
	maxConnections = 8
	// maxHeader bounds the headers of an answer, in bytes.
	maxHeader = 64 << 10
	// dialTimeout is how long a connection may take.
	dialTimeout = 10 * time.Second
)

// NewTransport returns the one that all clients of an agent share. Addresses come from Git, and the agent
// is in a place in the network where those who write them are not: link-local addresses and those of the
// cloud's own services are never connected to, nor loopback unless that is allowed. Proxies of the
// environment are not used: one would see every token.
func NewTransport(loopback bool) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return admit(to.Addr().WithZone("").Unmap(), loopback)
	}}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialTimeout,
		MaxConnsPerHost:        maxConnections,
		MaxIdleConnsPerHost:    maxConnections,
		MaxIdleConns:           64,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxHeader,
		// A small compressed answer could unfold into a large one.
		DisableCompression: true,
	}
}

// services are of clouds for their machines, at addresses that are not link-local.
var services = []netip.Prefix{
	netip.MustParsePrefix("fd00:ec2::/32"),      // AWS
	netip.MustParsePrefix("fd20:ce::/32"),       // Google
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle
}

// gateways lead from IPv6 to IPv4, at any address of which can be one that is never connected to.
var gateways = []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("::/96")}

func admit(address netip.Addr, loopback bool) error {
	switch {
	case address.IsLoopback():
		if loopback {
			return nil
		}
		return closedError{address}
	case !address.IsGlobalUnicast(), address.Is4() && address.As4()[0] == 0:
		return closedError{address}
	}
	for _, prefix := range append(services, gateways...) {
		if prefix.Contains(address) {
			return closedError{address}
		}
	}
	return nil
}

// closedError is the error of connecting to an address that is never connected to.
type closedError struct{ address netip.Addr }

func (e closedError) Error() string {
	return fmt.Sprintf("the host leads to %s, which is never asked: write the address of the Service of Kubeflow Pipelines", e.address)
}
