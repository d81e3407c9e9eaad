package gitrepo

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"github.com/go-git/go-git/v5/plumbing/transport"
)

// scpLike is the short form of ssh URLs, git@host:path. It wants a user, so that "ext::sh"
// and "C:\x" are no hosts.
var scpLike = regexp.MustCompile(`^[A-Za-z0-9_.~-]+@([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]):[^:\\-][^\\]*$`)

// CheckURL tells whether url can be the URL of a repository: https, ssh, or the short form
// git@host:path; with allowInsecure also http and file. Credentials in it are refused,
// because everybody who may read the object that holds the URL would read them too.
func CheckURL(url string, allowInsecure bool) error {
	ep, err := parseURL(url)
	if err != nil {
		return err
	}
	if insecure := ep.Protocol == "http" || ep.Protocol == "file"; insecure && !allowInsecure {
		return &Error{Kind: Invalid, URL: stripURL(url), Message: "the scheme " + ep.Protocol + " is not encrypted; use https or ssh, or allow it with --allow-insecure-git"}
	}
	return nil
}

// parseURL parses the URL of a repository and refuses what is ambiguous or unsafe.
func parseURL(raw string) (*transport.Endpoint, error) {
	bad := func(message string) (*transport.Endpoint, error) {
		return nil, &Error{Kind: Invalid, URL: stripURL(raw), Message: message}
	}
	if strings.ContainsFunc(raw, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return bad("the URL holds a space or a control character; remove it")
	}
	if !scpLike.MatchString(raw) {
		u, err := url.Parse(raw)
		if err != nil || u.Scheme == "" || u.Opaque != "" {
			return bad("this is no URL of a repository; write https://host/path, ssh://user@host/path or user@host:path")
		}
		if message := checkParts(u); message != "" {
			return bad(message)
		}
	}
	ep, err := transport.NewEndpoint(raw)
	if err != nil {
		return bad("this is no URL of a repository; write https://host/path, ssh://user@host/path or user@host:path")
	}
	return ep, nil
}

// checkParts returns what is wrong with a parsed URL.
func checkParts(u *url.URL) string {
	_, password := u.User.Password()
	switch {
	case u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "ssh" && u.Scheme != "file":
		return "the scheme is not supported; use https or ssh"
	case password || u.User != nil && u.Scheme != "ssh":
		return "the URL holds credentials; put them into the Secret as username and password"
	case u.Scheme == "file" && u.Host != "":
		return "a file URL has no host; write file:///path"
	case u.Scheme != "file" && (u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-")):
		return "the URL has no host"
	case strings.Trim(u.Path, "/") == "":
		return "the URL has no path; it has to name a repository"
	case u.RawQuery != "" || u.Fragment != "":
		return "the URL has a query or a fragment; a repository's URL has neither"
	}
	return ""
}

// Address is where a repository is, without what differs between ways to reach it: scheme,
// user and the suffix .git. Two URLs with the same one lead to the same repository.
func Address(url string) string {
	if _, rest, found := strings.Cut(url, "://"); found {
		url = rest
	} else {
		url = strings.Replace(url, ":", "/", 1) // git@host:path
	}
	host, name, _ := strings.Cut(url, "/")
	return strings.ToLower(host[strings.LastIndex(host, "@")+1:]) + "/" + strings.TrimSuffix(strings.Trim(name, "/"), ".git")
}
