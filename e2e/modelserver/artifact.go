package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"strings"
)

// maxArtifact bounds model.json, in bytes.
const maxArtifact = 16 << 20

// load loads the model from its artifact.
func load(ctx context.Context, uri string) (*model, error) {
	content, err := fetch(ctx, uri)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", uri, err)
	}
	m, err := parseModel(content)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", uri, err)
	}
	return m, nil
}

// fetch reads model.json of an artifact.
func fetch(ctx context.Context, uri string) ([]byte, error) {
	scheme, rest, _ := strings.Cut(uri, "://")
	if path.Ext(rest) != ".json" {
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
		bucket, key, _ := strings.Cut(rest, "/")
		return bucketOf(os.Getenv).get(ctx, bucket, key)
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

// escapePath writes a key as S3 wants it in a URL: each part by itself, all but letters, digits
// and -._~ as bytes.
func escapePath(key string) string {
	parts := strings.Split(key, "/")
	for n, part := range parts {
		parts[n] = strings.ReplaceAll(url.QueryEscape(part), "+", "%20")
	}
	return strings.Join(parts, "/")
}
