package measure

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// credentials are what a Secret has for a server. The zero value is for a server that asks
// nobody who they are.
type credentials struct {
	username, password, token string
	authorities               []byte
}

// readCredentials reads the data of a Secret. An error names the key that is wrong, never its
// value.
func readCredentials(data map[string][]byte) (credentials, error) {
	c := credentials{username: line(data, "username"), password: line(data, "password"), token: line(data, "token"), authorities: data["ca.crt"]}
	switch {
	case len(data) == 0:
		return c, nil
	case c.username == "" && c.password == "" && c.token == "" && len(c.authorities) == 0:
		return c, errors.New("the Secret has none of the keys username and password, token, and ca.crt: add what the server wants")
	case c.token != "" && c.username != "":
		return c, errors.New("the Secret has both token and username: remove one of them")
	case c.username != "" && c.password == "":
		return c, errors.New("the Secret has the key username but no password: add it")
	case c.username == "" && c.password != "":
		return c, errors.New("the Secret has the key password but no username: add it")
	case !httpguts.ValidHeaderFieldValue(c.token):
		return c, errors.New("the key token of the Secret is more than one line: write the token alone")
	case len(c.authorities) > 0 && !x509.NewCertPool().AppendCertsFromPEM(c.authorities):
		return c, errors.New("the key ca.crt of the Secret holds no certificate: it has to be in PEM form")
	}
	return c, nil
}

// line reads a key that is one line; editors like to add a line break.
func line(data map[string][]byte, key string) string {
	return strings.TrimRight(string(data[key]), "\r\n")
}

func (c credentials) sign(request *http.Request) {
	switch {
	case c.token != "":
		request.Header.Set("Authorization", "Bearer "+c.token)
	case c.username != "":
		request.SetBasicAuth(c.username, c.password)
	}
}

// scrub removes secrets from words of a server, which may repeat what we sent.
func (c credentials) scrub(text string) string {
	secrets := []string{c.token, c.password}
	if c.password != "" {
		secrets = append(secrets, base64.StdEncoding.EncodeToString([]byte(c.username+":"+c.password)), url.QueryEscape(c.password))
	}
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}
