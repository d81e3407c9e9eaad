package forge

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// place is where a repository is on a forge.
type place struct {
	provider Provider
	api      *url.URL // of the API, without a slash at the end
	path     string   // owner/name; on GitLab with all its groups
}

// owner is what is before the name.
func (p place) owner() string { return p.path[:strings.LastIndexByte(p.path, '/')] }
func (p place) name() string  { return p.path[strings.LastIndexByte(p.path, '/')+1:] }

// suffix is what the path of the API of a forge of one's own ends with.
var suffix = map[Provider]string{Gitea: "/api/v1", GitHub: "/api/v3", GitLab: "/api/v4"}

// sshHosts are hosts that only speak ssh, and the ones that have the API.
var sshHosts = map[string]string{"ssh.github.com": "github.com", "altssh.gitlab.com": "gitlab.com"}

var (
	// scpLike is the short form of ssh URLs, git@host:path.
	scpLike = regexp.MustCompile(`^[A-Za-z0-9_.~-]+@([A-Za-z0-9][A-Za-z0-9.-]*):([^:\\]+)$`)
	// segment is a part of a repository's name on all three forges.
	segment = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,255}$`)
)

// locate reads where a repository is from its Git URL. Where the API is not at the place that the
// forge's documentation says, it has to be given.
func locate(provider Provider, repository, api string, insecure bool) (place, error) {
	if _, known := suffix[provider]; !known {
		return place{}, errorf(Invalid, "the provider %q is not known: use gitea, github or gitlab", printable(string(provider)))
	}
	u, err := parseRepository(repository)
	if err != nil {
		return place{}, err
	}
	segments := strings.Split(strings.TrimSuffix(strings.Trim(u.Path, "/"), ".git"), "/")
	if slices.ContainsFunc(segments, func(s string) bool { return !segment.MatchString(s) || s == "." || s == ".." }) || len(segments) < 2 {
		return place{}, errorf(Invalid, "the URL of the repository has no owner and name that a forge could have: write https://host/owner/name.git")
	}
	p := place{provider: provider}
	var before []string
	if p.api, before, err = locateAPI(provider, u, api, segments); err != nil {
		return place{}, err
	}
	if p.api.Scheme == "http" && !insecure {
		return place{}, errorf(Invalid, "the API of the forge at %s is not encrypted, and the token would be read on the way: use https", p.api.Host)
	}
	p.path = strings.Join(segments[len(before):], "/")
	return p, nil
}

// locateAPI says where the API is, and which of the segments of the repository's path come before
// its name: a forge may live below a path of its host.
func locateAPI(provider Provider, repository *url.URL, api string, segments []string) (*url.URL, []string, error) {
	before := segments[:len(segments)-2]
	if provider == GitLab {
		before = nil // they could be groups; only the address of the API can tell
	}
	if provider == GitHub && len(before) > 0 {
		return nil, nil, errorf(Invalid, "the URL of the repository has more than an owner and a name after the host, which GitHub does not have: correct it")
	}
	if api == "" {
		return guessAPI(provider, repository, before), before, nil
	}
	u, err := url.Parse(api)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Opaque != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, nil, errorf(Invalid, "the address of the API is not one: write https://host%s, without credentials and query", suffix[provider])
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	if provider == GitHub {
		return u, nil, nil
	}
	prefix := strings.TrimSuffix(u.Path, suffix[provider])
	u.Path = prefix + suffix[provider]
	if provider == GitLab && prefix != "" {
		prefixes := strings.Split(strings.Trim(prefix, "/"), "/")
		if len(segments) >= len(prefixes)+2 && slices.Equal(segments[:len(prefixes)], prefixes) {
			before = prefixes
		}
	}
	return u, before, nil
}

// guessAPI says where the API of a forge usually is.
func guessAPI(provider Provider, repository *url.URL, before []string) *url.URL {
	u := &url.URL{Scheme: repository.Scheme, Host: repository.Host}
	switch {
	case provider == GitHub && u.Hostname() == "github.com":
		u.Host = "api.github.com"
	case provider == GitHub && strings.HasSuffix(u.Hostname(), ".ghe.com"):
		u.Host = "api." + u.Hostname()
	default:
		u.Path = strings.Join(append([]string{""}, before...), "/") + suffix[provider]
	}
	return u
}

// parseRepository reads the URL of a repository as one of https or http: the port of ssh says nothing
// of where the API is. The error repeats nothing of it.
func parseRepository(repository string) (*url.URL, error) {
	if m := scpLike.FindStringSubmatch(repository); m != nil {
		repository = "ssh://" + m[1] + "/" + strings.TrimPrefix(m[2], "/")
	}
	u, err := url.Parse(repository)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, errorf(Invalid, "this is no URL of a repository on a forge: write https://host/owner/name.git or ssh://git@host/owner/name.git")
	case u.Scheme == "ssh":
		host := strings.ToLower(u.Hostname())
		if to, ok := sshHosts[host]; ok {
			host = to
		}
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		return &url.URL{Scheme: "https", Host: host, Path: u.Path}, nil
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errorf(Invalid, "a repository on a forge has a URL of https or ssh: write https://host/owner/name.git or ssh://git@host/owner/name.git")
	case u.User != nil:
		return nil, errorf(Invalid, "the URL of the repository holds credentials: put them into the Secret")
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Path: u.Path}, nil
}
