package forge_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sluice-dev/sluice/agent/forge"
)

// TestApp: a GitHub App has tokens made for the one repository, uses each while it is good, and writes
// as itself.
func TestApp(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	lasts := time.Hour
	made := 0
	w := newWorld(t, "", func(w *world, mux *http.ServeMux) {
		gitHub(w, mux)
		proven := func(rw http.ResponseWriter, r *http.Request) bool {
			claims := jwt.RegisteredClaims{}
			_, err := jwt.ParseWithClaims(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), &claims, func(*jwt.Token) (any, error) { return &key.PublicKey, nil },
				jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer("77"), jwt.WithIssuedAt(), jwt.WithExpirationRequired())
			if err == nil && claims.ExpiresAt.Sub(claims.IssuedAt.Time) > 10*time.Minute {
				err = fmt.Errorf("it is good for more than ten minutes")
			}
			if err != nil {
				t.Error(err)
				answer(rw, http.StatusUnauthorized, map[string]any{"message": "A JSON web token could not be decoded"})
			}
			return err == nil
		}
		mux.HandleFunc("POST /api/v3/app/installations/88/access_tokens", func(rw http.ResponseWriter, r *http.Request) {
			if !proven(rw, r) {
				return
			}
			if f := w.fields(r, "repositories"); fmt.Sprint(f["repositories"]) != "[platform]" {
				t.Errorf("a token for %v", f)
			}
			made++
			w.accepts = fmt.Sprintf("Bearer ghs_%d", made)
			answer(rw, http.StatusCreated, map[string]any{"token": fmt.Sprintf("ghs_%d", made), "expires_at": time.Now().Add(lasts).Format(time.RFC3339)})
		})
		mux.HandleFunc("GET /api/v3/app", func(rw http.ResponseWriter, r *http.Request) {
			if proven(rw, r) {
				answer(rw, http.StatusOK, map[string]any{"slug": "sluice", "id": 77})
			}
		})
	})
	o := forge.Options{Provider: forge.GitHub, Repository: w.server.URL + "/ml/platform", AllowInsecure: true, App: &forge.App{
		ID: 77, Installation: 88, PrivateKey: pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})}}
	f, err := forge.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer f.CloseIdle()
	if self, err := f.Self(t.Context()); err != nil || self != "sluice[bot]" {
		t.Errorf("%s, %v", self, err)
	}
	for range 3 {
		if _, err := f.Pulls(t.Context(), "main"); err != nil {
			t.Fatal(err)
		}
	}
	if made != 1 {
		t.Errorf("%d tokens for three calls", made)
	}
	w.mu.Lock()
	w.accepts = "Bearer another" // the token is revoked
	w.mu.Unlock()
	_, err = f.Pulls(t.Context(), "main")
	wantError(t, err, forge.Unauthorized, "Bad credentials")
	lasts = time.Minute // too short to be used twice
	for range 2 {
		if _, err := f.Pulls(t.Context(), "main"); err != nil {
			t.Fatal(err)
		}
	}
	if made != 3 {
		t.Errorf("%d tokens, want 3", made)
	}
	for status, want := range map[int]string{401: "correct the clock", 404: "add the repository to it", 422: "add the repository to it", 403: "is suspended"} {
		w.say(reply{match: "POST /api/v3/app", status: status, body: `{"message":"No"}`})
		_, err := f.Pulls(t.Context(), "main")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v, want %q", status, err, want)
		}
	}
	w.say(reply{match: "POST /api/v3/app", status: 403, header: map[string]string{"Retry-After": "60"}})
	_, err = f.Pulls(t.Context(), "main")
	wantError(t, err, forge.RateLimited)

	o.Token = token
	_, err = forge.Open(o)
	wantError(t, err, forge.Invalid, "in the place of a token")
	o.Token, o.App = "", &forge.App{ID: 77, PrivateKey: o.App.PrivateKey}
	_, err = forge.Open(o)
	wantError(t, err, forge.Invalid, "two numbers")
}
