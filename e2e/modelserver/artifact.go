package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/sluice-dev/sluice/e2e/bucket"
)

// maxArtifact bounds model.json, in bytes.
const maxArtifact = 16 << 20

// source is where the artifact is, and the digest that it has to have; empty for any.
type source struct{ uri, digest string }

// load loads the model from its artifact.
func (s source) load(ctx context.Context) (*model, error) {
	content, err := fetch(ctx, s.uri)
	if err == nil {
		err = s.check(content)
	}
	var m *model
	if err == nil {
		m, err = parseModel(content)
	}
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", s.uri, err)
	}
	return m, nil
}

// check refuses what is not what was registered: since the artifact was verified, somebody can
// have put another one in its place. What was read is what is looked at, and no second reading.
func (s source) check(content []byte) error {
	found := "sha256:" + digest(string(content))
	if !isFile(s.uri) { // then it is that of a list of files, in which there has to be this one only
		found = "sha256:" + digest(fmt.Sprintf("%s  %d  model.json\n", digest(string(content)), len(content)))
	}
	if s.digest != "" && s.digest != found {
		return fmt.Errorf("the artifact has the digest %s, and MODEL_DIGEST is %s: it is not what was registered", found, s.digest)
	}
	return nil
}

// isFile tells the address of model.json itself from that of its directory.
func isFile(uri string) bool { return path.Ext(uri) == ".json" }

// fetch reads model.json of an artifact.
func fetch(ctx context.Context, uri string) ([]byte, error) {
	scheme, rest, _ := strings.Cut(uri, "://")
	if !isFile(uri) {
		rest = strings.TrimSuffix(rest, "/") + "/model.json"
	}
	switch scheme {
	case "file":
		file, err := os.Open(rest)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		return readAll(file)
	case "s3":
		name, key, err := bucket.Parse("s3://" + rest)
		if err != nil {
			return nil, err
		}
		return bucket.Open(os.Getenv).Get(ctx, name, key, maxArtifact)
	}
	return nil, fmt.Errorf("the scheme %q is not known: use s3 or file", scheme)
}

// readAll reads what is not larger than an artifact may be.
func readAll(r io.Reader) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(r, maxArtifact+1))
	if err == nil && len(content) > maxArtifact {
		err = fmt.Errorf("model.json has more than %d MiB", maxArtifact>>20)
	}
	return content, err
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
