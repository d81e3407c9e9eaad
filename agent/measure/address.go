package measure

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// fillURL fills variables into a URL.
func fillURL(text string, vars Variables) (string, error) {
	return expand(text, vars, func(before, name, value string) (string, error) {
		switch {
		case before == "" && name == "url":
			if u, err := parseURL(value); err != nil || u.RawQuery != "" {
				return "", fmt.Errorf("${url} cannot be the beginning of a URL here; write the address itself")
			}
			return strings.TrimSuffix(value, "/"), nil
		case strings.ContainsAny(before, "?#"):
			return url.QueryEscape(value), nil
		case inPath(before):
			return url.PathEscape(value), nil
		case !hostPart.MatchString(value):
			return "", fmt.Errorf("${%s} is %q here, which cannot be in the name of a host: use it in the path or the query", name, printable(value))
		}
		return value, nil
	})
}

// hostPart is what can be in the name of a host.
var hostPart = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$`)

// inPath tells whether the host of a URL is over.
func inPath(before string) bool {
	if strings.HasPrefix(before, "${url}") {
		return true
	}
	_, rest, found := strings.Cut(before, "://")
	return found && strings.Contains(rest, "/")
}

// parseURL reads the URL of a server. The error repeats nothing of it.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "":
		return nil, errors.New("this is no URL of a server: write http://host:port/path or https://host/path")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("only http and https are asked: write http://host:port/path or https://host/path")
	case u.User != nil:
		return nil, errors.New("it holds credentials, which everybody sees who sees the object: remove them")
	case slices.ContainsFunc(strings.Split(u.Path, "/"), func(part string) bool { return part == "." || part == ".." }):
		return nil, errors.New(`the URL has "." or ".." in its path: write the path that is meant`)
	}
	return u, nil
}

// name is a URL as it may be shown: its query could hold a key.
func name(u *url.URL) string {
	return printable((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String())
}

// unread names a URL that cannot be parsed, by what is surely not secret of it.
func unread(text string) string {
	if strings.Contains(text, "@") {
		return "the URL"
	}
	if end := strings.IndexAny(text, "?#"); end >= 0 {
		text = text[:end]
	}
	return printable(text)
}

// closed are addresses that are never connected to.
var closed = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address"},
	{netip.MustParsePrefix("fe80::/10"), "a link-local address"},
	{netip.MustParsePrefix("fd00:ec2::/32"), "a service of the cloud for its machines"},      // AWS
	{netip.MustParsePrefix("fd20:ce::/32"), "a service of the cloud for its machines"},       // Google
	{netip.MustParsePrefix("168.63.129.16/32"), "a service of the cloud for its machines"},   // Azure
	{netip.MustParsePrefix("100.100.100.200/32"), "a service of the cloud for its machines"}, // Alibaba
	{netip.MustParsePrefix("192.0.0.192/32"), "a service of the cloud for its machines"},     // Oracle
	{netip.MustParsePrefix("0.0.0.0/8"), "an address of this machine"},
	{netip.MustParsePrefix("::/96"), "an address of this machine"}, // and IPv4 in the form that nobody uses
	{netip.MustParsePrefix("224.0.0.0/3"), "no address of one machine"},
	{netip.MustParsePrefix("ff00::/8"), "no address of one machine"},
}

// closedError is the error of connecting to an address that is never connected to.
type closedError struct {
	address netip.Addr
	what    string
}

func (e closedError) Error() string {
	return fmt.Sprintf("the host leads to %s, %s, which is never asked: name another server", e.address, e.what)
}

// admit refuses addresses that are closed, and loopback unless it is allowed.
func admit(address netip.Addr, loopback bool) error {
	address = address.WithZone("").Unmap()
	if address.IsLoopback() {
		if loopback {
			return nil
		}
		return closedError{address, "an address of this machine"}
	}
	for _, c := range closed {
		if c.prefix.Contains(address) {
			return closedError{address, c.what}
		}
	}
	if inner, ok := embedded(address); ok {
		return admit(inner, false)
	}
	return nil
}

var (
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
	sixToIV = netip.MustParsePrefix("2002::/16")
)

// embedded is the IPv4 address to which a gateway sends on what goes to an IPv6 address.
func embedded(address netip.Addr) (netip.Addr, bool) {
	bytes := address.As16()
	switch {
	case nat64.Contains(address):
		return netip.AddrFrom4([4]byte(bytes[12:])), true
	case sixToIV.Contains(address):
		return netip.AddrFrom4([4]byte(bytes[2:6])), true
	}
	return netip.Addr{}, false
}

// control is asked by the dialer with the address that a name has led to.
func (m *Meter) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	return admit(to.Addr(), m.AllowLoopback)
}
