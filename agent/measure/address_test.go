package measure

import (
	"net/netip"
	"strings"
	"testing"
)

func TestAdmit(t *testing.T) {
	for _, address := range []string{
		"10.0.0.1", "172.16.3.4", "192.168.1.1", "100.64.0.1", "8.8.8.8", "169.253.255.255", "169.255.0.0", "192.0.0.191",
		"fd12:3456::1", "2001:db8::1", "::ffff:10.0.0.1", "64:ff9b::8.8.8.8", "fec0::1",
	} {
		if err := admit(netip.MustParseAddr(address), false); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{
		"169.254.169.254", "169.254.0.0", "169.254.255.255", "fe80::1", "fe80::1%eth0", "febf::1",
		"fd00:ec2::254", "fd20:ce::254", "168.63.129.16", "100.100.100.200", "192.0.0.192",
		"0.0.0.0", "0.1.2.3", "::", "::169.254.169.254", "224.0.0.1", "255.255.255.255", "ff02::1",
		"::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "64:ff9b::127.0.0.1", "2002:a9fe:a9fe::1", "2002:7f00:1::",
	} {
		for _, loopback := range []bool{false, true} {
			if err := admit(netip.MustParseAddr(address), loopback); err == nil || !strings.Contains(err.Error(), "never asked") {
				t.Errorf("%s, loopback allowed %v: %v", address, loopback, err)
			}
		}
	}
	for _, address := range []string{"127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"} {
		if err := admit(netip.MustParseAddr(address), true); err != nil {
			t.Errorf("%s, allowed: %v", address, err)
		}
		if err := admit(netip.MustParseAddr(address), false); err == nil {
			t.Errorf("%s is asked", address)
		}
	}
}

func TestParseURL(t *testing.T) {
	for _, text := range []string{"http://a", "https://a:8080/b/c?d=e", "http://[fd12::1]:9090", "http://a/..b/c.."} {
		if _, err := parseURL(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"":                    "no URL of a server",
		"prometheus:9090":     "no URL of a server",
		"//prometheus:9090":   "only http and https",
		"http:/prometheus":    "no URL of a server",
		"http://:9090":        "no URL of a server",
		"http://a b/":         "no URL of a server",
		"http://a\n/":         "no URL of a server",
		"http://%zz/":         "no URL of a server",
		"ftp://a/":            "only http and https",
		"file://a/etc/passwd": "only http and https",
		"gopher://a/":         "only http and https",
		"http://me:s3cret@a/": "holds credentials",
		"http://a/b/../c":     `".." in its path`,
		"http://a/b/%2e%2e/c": `".." in its path`,
		"http://a/b/..%2fc":   `".." in its path`,
		"http://a/./b":        `"." or ".."`,
	} {
		_, err := parseURL(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: want %q, have %v", text, want, err)
			continue
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestUnread(t *testing.T) {
	for text, want := range map[string]string{
		"http://a/b?key=s3cret": "http://a/b",
		"http://me:s3cret@a/":   "the URL",
		"a\x00b":                "a b",
	} {
		if got := unread(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}
