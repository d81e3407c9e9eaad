package gitrepo

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
)

// Auth is how to prove to a remote who we are, and how it proves who it is. The zero value
// is anonymous. It prints as what it is, never as what it holds.
type Auth struct {
	username, password string // basic
	bearer             string
	certificate        *tls.Certificate // our own, for mutual TLS
	ca                 []byte           // trusted next to the system's
	identity           ssh.Signer
	hosts              *knownhosts.HostKeyDB
}

// Format keeps secrets out of every verb of fmt.
func (a Auth) Format(f fmt.State, _ rune) { fmt.Fprint(f, a.kind()) }

// kind says in a word how we authenticate.
func (a Auth) kind() string {
	switch {
	case a.identity != nil:
		return "ssh key"
	case a.bearer != "":
		return "bearer token"
	case a.username != "":
		return "user name and password"
	case a.certificate != nil:
		return "client certificate"
	}
	return "anonymous"
}

// secrets lists what must not appear in a message.
func (a Auth) secrets() []string {
	secrets := []string{a.password, a.bearer}
	if a.password != "" {
		secrets = append(secrets, url.QueryEscape(a.password), base64.StdEncoding.EncodeToString([]byte(a.username+":"+a.password)))
	}
	return secrets
}

// method is what the HTTP transport wants; nil is anonymous.
func (a Auth) method() transport.AuthMethod {
	switch {
	case a.bearer != "":
		return &githttp.TokenAuth{Token: a.bearer}
	case a.username != "":
		return &githttp.BasicAuth{Username: a.username, Password: a.password}
	}
	return nil
}

// Proxy is a proxy for connections to a remote: HTTP, HTTPS or SOCKS5.
type Proxy struct {
	url *url.URL
}

// Format keeps the password out of every verb of fmt.
func (p Proxy) Format(f fmt.State, _ rune) {
	if p.url != nil {
		fmt.Fprint(f, p.url.Scheme+"://"+p.url.Host)
	}
}

// secrets lists what must not appear in a message.
func (p Proxy) secrets() []string {
	if p.url == nil {
		return nil
	}
	password, _ := p.url.User.Password()
	return []string{password, url.QueryEscape(password)}
}

// ReadProxy reads a proxy from a Secret's data: address, and username and password if it
// wants them. No data is no proxy.
func ReadProxy(data map[string][]byte) (Proxy, error) {
	if len(data) == 0 {
		return Proxy{}, nil
	}
	address := text(data, "address")
	if address == "" {
		return Proxy{}, errorf(Invalid, "the proxy's Secret has no key address; add it, such as http://proxy.example.com:3128")
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" {
		return Proxy{}, errorf(Invalid, "the key address of the proxy's Secret is no proxy URL; write http://, https:// or socks5:// and a host")
	}
	if name := text(data, "username"); name != "" {
		u.User = url.UserPassword(name, text(data, "password"))
	}
	return Proxy{url: u}, nil
}

// ReadAuth reads how to authenticate at a URL from a Secret's data. Its keys are those of
// Flux. For https: username and password, or bearerToken; ca.crt (or caFile); tls.crt and
// tls.key. For ssh: identity and known_hosts, and password if the identity is encrypted. No
// data is anonymous. An error names the key that is missing or wrong, never its value.
func ReadAuth(data map[string][]byte, url string) (Auth, error) {
	ep, err := parseURL(url)
	if err != nil {
		return Auth{}, err
	}
	if ep.Protocol == "ssh" {
		return readSSH(data)
	}
	if len(data) == 0 {
		return Auth{}, nil
	}
	return readHTTP(data)
}

func readHTTP(data map[string][]byte) (Auth, error) {
	a := Auth{
		username: text(data, "username"),
		password: text(data, "password"),
		bearer:   text(data, "bearerToken"),
		ca:       first(data, "ca.crt", "caFile"),
	}
	cert, key := first(data, "tls.crt", "certFile"), first(data, "tls.key", "keyFile")
	switch {
	case a.username != "" && a.password == "":
		return Auth{}, errorf(Invalid, "the Secret has the key username but no password; add it")
	case a.username == "" && a.password != "":
		return Auth{}, errorf(Invalid, "the Secret has the key password but no username; add it (for a token, any name such as git does)")
	case a.bearer != "" && a.username != "":
		return Auth{}, errorf(Invalid, "the Secret has both bearerToken and username; remove one of them")
	case a.ca != nil && !x509.NewCertPool().AppendCertsFromPEM(a.ca):
		return Auth{}, errorf(Invalid, "the key ca.crt of the Secret holds no certificate; it has to be in PEM form")
	case cert == nil && key != nil:
		return Auth{}, errorf(Invalid, "the Secret has the key tls.key but no tls.crt; add it")
	case cert != nil && key == nil:
		return Auth{}, errorf(Invalid, "the Secret has the key tls.crt but no tls.key; add it")
	}
	if cert != nil {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return Auth{}, errorf(Invalid, "the keys tls.crt and tls.key of the Secret are not in PEM form or do not belong together")
		}
		a.certificate = &pair
	}
	if a.method() == nil && a.certificate == nil && a.ca == nil {
		return Auth{}, errorf(Invalid, "the Secret has none of the keys username and password, bearerToken, ca.crt, tls.crt and tls.key; add what the server wants")
	}
	return a, nil
}

func readSSH(data map[string][]byte) (Auth, error) {
	for _, key := range []string{"identity", "known_hosts"} {
		if len(data[key]) == 0 {
			return Auth{}, errorf(Invalid, "an ssh URL needs a Secret with the keys identity and known_hosts; %s is missing", key)
		}
	}
	identity, err := readIdentity(data["identity"], text(data, "password"))
	if err != nil {
		return Auth{}, err
	}
	hosts, err := readKnownHosts(data["known_hosts"])
	if err != nil {
		return Auth{}, err
	}
	return Auth{identity: identity, hosts: hosts, password: text(data, "password")}, nil
}

func readIdentity(pem []byte, passphrase string) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey(pem)
	if _, encrypted := errors.AsType[*ssh.PassphraseMissingError](err); encrypted {
		if passphrase == "" {
			return nil, errorf(Invalid, "the key identity of the Secret is encrypted; add its passphrase as password")
		}
		signer, err = ssh.ParsePrivateKeyWithPassphrase(pem, []byte(passphrase))
		if err != nil {
			return nil, errorf(Invalid, "the key identity of the Secret cannot be decrypted; correct the passphrase in password")
		}
	}
	if err != nil {
		return nil, errorf(Invalid, "the key identity of the Secret is no private key; it has to be in PEM or OpenSSH form")
	}
	return signer, nil
}

// readKnownHosts goes through a file, because that is all the library reads.
func readKnownHosts(lines []byte) (*knownhosts.HostKeyDB, error) {
	f, err := os.CreateTemp("", "known_hosts-")
	if err != nil {
		return nil, storageError(err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(lines)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, storageError(err)
	}
	hosts, err := knownhosts.NewDB(f.Name())
	if err != nil {
		return nil, errorf(Invalid, "the key known_hosts of the Secret cannot be read; write it as ssh-keyscan does")
	}
	return hosts, nil
}

// text reads a key that is one line; editors and "echo" like to add a newline.
func text(data map[string][]byte, key string) string {
	return strings.TrimRight(string(data[key]), "\r\n")
}

// first returns the first key that is set.
func first(data map[string][]byte, keys ...string) []byte {
	for _, key := range keys {
		if len(data[key]) > 0 {
			return data[key]
		}
	}
	return nil
}
