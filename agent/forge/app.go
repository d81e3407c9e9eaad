package forge

import (
	"context"
	"crypto/rsa"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-github/v75/github"
)

// App is a GitHub App, which acts in the place of a token.
type App struct {
	ID, Installation int64
	// PrivateKey in PEM form.
	PrivateKey []byte
}

// app has tokens of an installation made, for one repository, each for an hour.
type app struct {
	id           int64
	installation int64
	key          *rsa.PrivateKey
	repository   string
	apps         *github.AppsService

	mu      sync.Mutex
	token   string
	expires time.Time
}

func newApp(a App, at place, network http.RoundTripper) (*app, error) {
	key, err := jwt.ParseRSAPrivateKeyFromPEM(a.PrivateKey)
	switch {
	case err != nil:
		return nil, errorf(Invalid, "the private key of the GitHub App is not an RSA key in PEM form: put the file that GitHub gave into the Secret as it is")
	case a.ID <= 0 || a.Installation <= 0:
		return nil, errorf(Invalid, "a GitHub App has two numbers, its own and that of its installation: put both into the Secret")
	}
	made := &app{id: a.ID, installation: a.Installation, key: key, repository: at.name()}
	t := &transport{base: at.api, next: network, authorize: made.prove}
	made.apps = newGitHubClient(t, at).Apps
	return made, nil
}

// prove says that we are the App.
func (a *app) prove(context.Context) (string, error) {
	now := time.Now()
	signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.RegisteredClaims{
		Issuer:    strconv.FormatInt(a.id, 10),
		IssuedAt:  jwt.NewNumericDate(now.Add(-time.Minute)), // our clock may be ahead of GitHub's
		ExpiresAt: jwt.NewNumericDate(now.Add(8 * time.Minute)),
	}).SignedString(a.key)
	if err != nil {
		return "", errorf(Invalid, "the private key of the GitHub App does not sign: put the file that GitHub gave into the Secret as it is")
	}
	return "Bearer " + signed, nil
}

// authorize has a token made that may do no more than this repository needs, and keeps it until a
// few minutes before it expires.
func (a *app) authorize(ctx context.Context) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.token == "" || time.Now().After(a.expires.Add(-5*time.Minute)) {
		made, _, err := a.apps.CreateInstallationToken(ctx, a.installation, &github.InstallationTokenOptions{Repositories: []string{a.repository}})
		if err != nil {
			return "", noToken(err)
		}
		a.token, a.expires = made.GetToken(), made.GetExpiresAt().Time
	}
	return "Bearer " + a.token, nil
}

// rejected forgets a token that was revoked before its time, as when the App is installed anew.
func (a *app) rejected() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.token = ""
}

// noToken says why GitHub makes no token.
func noToken(err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind.Temporary() || e.Message != "" {
		return err
	}
	made := *e
	switch e.Kind {
	case Unauthorized:
		made.Message = "GitHub does not accept the GitHub App (" + e.said + "): put its number and its private key into the Secret; if they are right, correct the clock"
	case NotFound, Refused:
		made.Message = "the installation of the GitHub App has no token for the repository (" + e.said + "): put the number of the installation into the Secret, and add the repository to it"
	default:
		made.Message = "GitHub makes no token for the GitHub App (" + e.said + "): see whether its installation is suspended"
	}
	return &made
}

// self is the account that an App writes with.
func (a *app) self(ctx context.Context) (string, error) {
	found, _, err := a.apps.Get(ctx, "")
	if err != nil {
		return "", err
	}
	return found.GetSlug() + "[bot]", nil
}
