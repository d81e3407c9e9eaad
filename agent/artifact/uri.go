package artifact

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// location is a URI taken apart.
type location struct {
	uri    string // fit to print
	scheme string
	host   string // the bucket, the container, the host
	path   string // without a slash at either end
	dir    bool   // everything below path, as the URI says with a slash at its end
	server string // of an Azure account, if the URI names it
}

// schemes says what is known of each.
var schemes = map[string]struct {
	bucket   bool // the host is a bucket, and the rest a key
	listed   bool // what is there are files of their own
	verified bool // it is looked at
}{
	"s3":     {bucket: true, listed: true, verified: true},
	"gs":     {bucket: true, listed: true, verified: true},
	"azblob": {bucket: true, listed: true, verified: true},
	"https":  {listed: true, verified: true},
	"oci":    {verified: true},
	"pvc":    {},
	"hf":     {},
}

const maxURI = 2048 // as in the API

// Check tells what is wrong with a URI as it is written. The store is not asked.
func Check(uri string) error {
	_, err := parse(uri)
	return err
}

// Verified tells whether artifacts at a URI are looked at; others are taken as they are.
func Verified(uri string) bool {
	scheme, _, _ := strings.Cut(uri, "://")
	return schemes[scheme].verified
}

func parse(uri string) (location, error) {
	at := location{uri: strip(uri)}
	if problem := at.read(uri); problem != "" {
		return at, &Error{Kind: Invalid, URI: at.uri, Message: problem}
	}
	return at, nil
}

// read fills in a location, or says what is wrong.
func (at *location) read(uri string) string {
	scheme, rest, found := strings.Cut(uri, "://")
	kind, known := schemes[scheme]
	switch {
	case uri == "":
		return "there is no URI: give one such as s3://models/fraud/v8/"
	case len(uri) > maxURI:
		return fmt.Sprintf("the URI is longer than %d bytes: use a shorter path", maxURI)
	case !found || !known:
		return "this is no kind of storage that is known: use s3://, gs://, azblob://, https:// or oci://, or pvc:// and hf://, which are not verified"
	case !utf8.ValidString(uri) || strings.ContainsFunc(uri, unicode.IsControl):
		return "the URI has control characters: write it anew"
	case strings.ContainsAny(rest, "?#"):
		return "the URI has a query or a fragment (? or #): credentials go into a Secret, and versions into the path"
	case strings.Contains(rest, "@") && scheme != "oci", scheme == "oci" && userInfo(rest):
		return "the URI must not have credentials or any other @ in it: credentials go into the Secret that secretRef names"
	}
	at.scheme = scheme
	if scheme == "oci" {
		at.path = rest
		return problemOf(rest)
	}
	at.host, at.path, _ = strings.Cut(rest, "/")
	if at.host == "" {
		return "the URI names no bucket or host: write it as " + scheme + "://NAME/PATH"
	}
	at.dir = at.path == "" || strings.HasSuffix(at.path, "/")
	at.path = strings.TrimSuffix(at.path, "/")
	if problem := problemOf(at.path); at.path != "" && problem != "" {
		return problem
	}
	switch {
	case scheme == "https":
		return at.readHTTPS(uri)
	case kind.bucket && !bucketName.MatchString(at.host):
		return "this is no name of a bucket: check how it is written"
	}
	return ""
}

// userInfo tells whether what comes before the registry of an image is a user. A digest has no
// slash behind its @.
func userInfo(image string) bool {
	_, after, found := strings.Cut(image, "@")
	return found && strings.Contains(after, "/")
}

// bucketName is what all three kinds of stores take between them.
var bucketName = regexp.MustCompile(`^[A-Za-z0-9$][A-Za-z0-9._-]{0,254}$`)

// azureHost is a blob service of Azure, which KServe knows by its address only.
var azureHost = regexp.MustCompile(`^[a-z0-9-]+\.(blob\.core\.windows\.net|z[0-9]{1,2}\.blob\.storage\.azure\.net)$`)

func (at *location) readHTTPS(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" {
		return "this is no URL: check how it is written"
	}
	if problem := problemOf(strings.Trim(u.Path, "/")); at.path != "" && problem != "" { // with %2e%2e read
		return problem
	}
	if azureHost.MatchString(at.host) {
		at.scheme, at.server = "azblob", "https://"+at.host
		at.host, at.path, _ = strings.Cut(u.Path[1:], "/")
		at.dir = at.path == "" || strings.HasSuffix(at.path, "/")
		at.path = strings.TrimSuffix(at.path, "/")
		if !bucketName.MatchString(at.host) {
			return "the URL names no container: write it as https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH"
		}
		return ""
	}
	if at.dir {
		return "https:// is for one file, and this names none: end it with the name of a file"
	}
	return ""
}

// problemOf says why a path is not one that can be written to a disk in just one way; empty if
// it is.
func problemOf(path string) string {
	if !utf8.ValidString(path) || strings.ContainsFunc(path, unicode.IsControl) {
		return "the path has control characters or is not UTF-8: name it otherwise"
	}
	for element := range strings.SplitSeq(path, "/") {
		switch element {
		case "":
			return "the path has an empty element (// or a slash at an end): name it otherwise"
		case ".", "..":
			return "the path has an element " + element + ": name it without"
		}
	}
	return ""
}

// strip makes a URI fit to print: without user, password, query and fragment. It works on the
// text, since what is wrong with a URI may be how these are written.
func strip(uri string) string {
	scheme, rest, found := strings.Cut(uri, "://")
	if !found {
		scheme, rest = "", uri
	}
	if n := strings.IndexAny(rest, "?#"); n >= 0 {
		rest = rest[:n]
	}
	if n := strings.LastIndexByte(rest, '@'); n >= 0 && !strings.HasPrefix(rest[n:], "@sha256:") {
		rest = rest[n+1:]
	} else if n >= 0 {
		if user := strings.LastIndexByte(rest[:n], '@'); user >= 0 {
			rest = rest[user+1:]
		}
	}
	if found {
		rest = scheme + "://" + rest
	}
	return printable(rest)
}
