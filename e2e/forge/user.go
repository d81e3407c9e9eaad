package forge

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// User is a person, or a machine, with an account.
type User struct {
	Name, Email, Password string

	token  string // may do all that the user may
	server *Server
}

// CreateUser makes an account.
func (s *Server) CreateUser(ctx context.Context, name string) (*User, error) {
	u := s.newUser(name)
	err := s.Admin.Call(ctx, http.MethodPost, "/admin/users", map[string]any{
		"username": u.Name, "email": u.Email, "password": u.Password, "must_change_password": false,
	}, nil)
	if err != nil {
		return nil, err
	}
	return u, u.equip(ctx)
}

// equip gives the user a token for what this package does in its name, by the REST API and by git.
func (u *User) equip(ctx context.Context) (err error) {
	if u.token, err = u.Token(ctx, "all"); err != nil {
		return err
	}
	basic := base64.StdEncoding.EncodeToString([]byte(u.Name + ":" + u.token))
	return os.WriteFile(u.gitConfig(), []byte("[http]\n\textraHeader = Authorization: Basic "+basic+"\n"), 0o600)
}

// gitConfig is the file that lets git in as the user. Git includes it, so that no token is in an
// argument or in an error.
func (u *User) gitConfig() string { return filepath.Join(u.server.Dir, u.Name+".gitconfig") }

// Token makes an access token of the user with scopes: "read:repository", "write:issue", "all".
func (u *User) Token(ctx context.Context, scopes ...string) (string, error) {
	request, err := u.server.request(ctx, http.MethodPost, "/users/"+u.Name+"/tokens", map[string]any{"name": rand.Text(), "scopes": scopes})
	if err != nil {
		return "", err
	}
	request.SetBasicAuth(u.Name, u.Password) // a token cannot make tokens
	var token struct{ SHA1 string }
	if err := u.server.do(request, &token); err != nil {
		return "", fmt.Errorf("a token for %s: %w", u.Name, err)
	}
	return token.SHA1, nil
}

// author is the user as Git names people.
func (u *User) author() string { return fmt.Sprintf("%s <%s>", u.Name, u.Email) }

// Call calls the REST API in the name of the user, past the proxy: "/repos/ml/platform/labels". It
// sends in as JSON, and reads the answer into out, if they are not nil. A refusal is a *Refusal.
func (u *User) Call(ctx context.Context, method, path string, in, out any) error {
	request, err := u.server.request(ctx, method, path, in)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "token "+u.token)
	return u.server.do(request, out)
}

func (s *Server) request(ctx context.Context, method, path string, in any) (*http.Request, error) {
	var body io.Reader
	if in != nil {
		content, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(content)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://gitea"+api+path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	return request, nil
}

func (s *Server) do(request *http.Request, out any) error {
	response, err := s.direct.Do(request)
	if err != nil {
		return err
	}
	return decode(response, out)
}

// Refusal is an answer with a status of 400 or more.
type Refusal struct {
	Method, Path string
	Status       int
	Message      string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("%s %s: %d: %s", r.Method, r.Path, r.Status, r.Message)
}

func decode(response *http.Response, out any) error {
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 400 {
		var said struct{ Message string }
		if json.Unmarshal(content, &said) != nil || said.Message == "" {
			said.Message = strings.TrimSpace(string(content))
		}
		return &Refusal{response.Request.Method, response.Request.URL.Path, response.StatusCode, said.Message}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(content, out); err != nil {
		return fmt.Errorf("the answer of %s: %w", response.Request.URL.Path, err)
	}
	return nil
}

// CreateOrganisation makes an organisation that the user owns.
func (s *Server) CreateOrganisation(ctx context.Context, as *User, name string) error {
	return as.Call(ctx, http.MethodPost, "/orgs", map[string]any{"username": name}, nil)
}

// CreateTeam makes a team of an organisation, with a permission ("read", "write", "admin") to all
// its repositories.
func (s *Server) CreateTeam(ctx context.Context, as *User, organisation, name, permission string, members ...*User) error {
	var team struct{ ID int64 }
	err := as.Call(ctx, http.MethodPost, "/orgs/"+organisation+"/teams", map[string]any{
		"name": name, "permission": permission, "includes_all_repositories": true,
		"units": []string{"repo.code", "repo.issues", "repo.pulls"},
	}, &team)
	if err != nil {
		return err
	}
	for _, member := range members {
		if err := as.Call(ctx, http.MethodPut, fmt.Sprintf("/teams/%d/members/%s", team.ID, member.Name), nil, nil); err != nil {
			return err
		}
	}
	return nil
}
