package kfp

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const (
	// Audience is whom a token has to be for.
	Audience = "pipelines.kubeflow.org"
	// DefaultTokenFile is where pods have the projected token by custom.
	DefaultTokenFile = "/var/run/secrets/kubeflow/pipelines/token"
	// maxToken bounds a token, in bytes.
	maxToken = 64 << 10
)

// Token gives the token for a request. It is asked each time, for tokens are renewed.
type Token func(context.Context) (string, error)

// TokenFile reads the token from a file, each time.
func TokenFile(path string) Token {
	return func(context.Context) (string, error) {
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return "", sayf(Unauthenticated, "there is no token at %s: project one of the audience %s into the agent's pod, or run without one where Kubeflow Pipelines is for a single user", path, Audience)
		}
		if err != nil {
			return "", sayf(Unauthenticated, "the token at %s cannot be opened: see whether the agent's pod may read it", path)
		}
		defer file.Close()
		data, err := io.ReadAll(io.LimitReader(file, maxToken+1))
		token := strings.TrimSpace(string(data))
		if err != nil || token == "" || len(data) > maxToken || !httpguts.ValidHeaderFieldValue(token) {
			return "", sayf(Unauthenticated, "the file %s holds no token: project one of the audience %s into the agent's pod", path, Audience)
		}
		return token, nil
	}
}
