package bucket

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Store is an object store, and who asks it.
type Store struct {
	endpoint, region                   string
	accessKey, secretKey, sessionToken string
}

// Open reads the variables. It asks the store nothing.
func Open(variable func(string) string) Store {
	first := func(names ...string) string {
		for _, name := range names {
			if value := variable(name); value != "" {
				return value
			}
		}
		return ""
	}
	s := Store{
		endpoint:     first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
		region:       first("AWS_REGION", "AWS_DEFAULT_REGION"),
		accessKey:    variable("AWS_ACCESS_KEY_ID"),
		secretKey:    variable("AWS_SECRET_ACCESS_KEY"),
		sessionToken: variable("AWS_SESSION_TOKEN"),
	}
	if s.region == "" {
		s.region = "us-east-1"
	}
	if s.endpoint == "" {
		s.endpoint = "https://s3." + s.region + ".amazonaws.com"
	}
	return s
}

// Parse takes the address of an object, or of all below a prefix, apart.
func Parse(uri string) (bucket, key string, err error) {
	rest, known := strings.CutPrefix(uri, "s3://")
	bucket, key, _ = strings.Cut(rest, "/")
	if !known || bucket == "" {
		return "", "", fmt.Errorf("%q is no address in an object store: write s3://bucket/key", uri)
	}
	return bucket, key, nil
}

// Get reads an object of at most limit bytes.
func (s Store) Get(ctx context.Context, bucket, key string, limit int64) ([]byte, error) {
	return s.do(ctx, http.MethodGet, bucket, key, nil, nil, limit)
}

// maxAnswer bounds an answer that is no object, in bytes.
const maxAnswer = 4 << 20

// Put writes an object.
func (s Store) Put(ctx context.Context, bucket, key string, content []byte) error {
	_, err := s.do(ctx, http.MethodPut, bucket, key, nil, content, maxAnswer)
	return err
}

// Object is one of a list.
type Object struct {
	Key  string
	Size int64
	ETag string
}

// maxPages bounds a list: a page has up to a thousand objects.
const maxPages = 100

// List lists what is below a prefix, sorted by name.
func (s Store) List(ctx context.Context, bucket, prefix string) ([]Object, error) {
	var all []Object
	query := url.Values{"list-type": {"2"}, "prefix": {prefix}}
	for range maxPages {
		content, err := s.do(ctx, http.MethodGet, bucket, "", query, nil, maxAnswer)
		if err != nil {
			return nil, err
		}
		var page struct {
			Contents              []Object
			IsTruncated           bool
			NextContinuationToken string
		}
		if err := xml.Unmarshal(content, &page); err != nil {
			return nil, fmt.Errorf("the list of the object store cannot be read: %w", err)
		}
		all = append(all, page.Contents...)
		if !page.IsTruncated {
			return all, nil
		}
		query.Set("continuation-token", page.NextContinuationToken)
	}
	return nil, fmt.Errorf("s3://%s/%s has more objects than %d pages of a list", bucket, prefix, maxPages)
}

// timeout bounds one request.
const timeout = time.Minute

// do makes one request and returns what is in the answer, which has at most limit bytes.
func (s Store) do(ctx context.Context, method, bucket, key string, query url.Values, content []byte, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	address := strings.TrimSuffix(s.endpoint, "/") + "/" + escape(bucket) + "/" + escape(key)
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	request.URL.RawQuery = encode(query)
	if s.accessKey != "" {
		s.sign(request, digest(content), time.Now())
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the object store answers %s: %.300q", answer.Status, got)
	}
	if int64(len(got)) > limit {
		return nil, fmt.Errorf("s3://%s/%s has more than %d bytes", bucket, key, limit)
	}
	return got, nil
}

// escape writes a key as S3 wants it in a URL: each part by itself, all but letters, digits
// and -._~ as bytes.
func escape(key string) string {
	parts := strings.Split(key, "/")
	for n, part := range parts {
		parts[n] = strings.ReplaceAll(url.QueryEscape(part), "+", "%20")
	}
	return strings.Join(parts, "/")
}

// encode writes a query as S3 wants it to be signed: sorted, and with a space as a byte.
func encode(query url.Values) string { return strings.ReplaceAll(query.Encode(), "+", "%20") }
