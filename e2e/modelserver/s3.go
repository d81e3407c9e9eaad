package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// storage is an object store that speaks S3, and who asks it. It is all of S3 that is needed
// here, so that the image stays small.
type storage struct {
	endpoint, region                   string
	accessKey, secretKey, sessionToken string
}

// bucketOf reads the variables that every client of S3 reads.
func bucketOf(variable func(string) string) storage {
	first := func(names ...string) string {
		for _, name := range names {
			if value := variable(name); value != "" {
				return value
			}
		}
		return ""
	}
	s := storage{
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

// getTimeout bounds one request for an object.
const getTimeout = time.Minute

// get reads an object.
func (s storage) get(ctx context.Context, bucket, key string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	address := strings.TrimSuffix(s.endpoint, "/") + "/" + escapePath(bucket) + "/" + escapePath(key)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if s.accessKey != "" {
		s.sign(request, time.Now())
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	content, err := readAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the object store answers %s: %.300q", answer.Status, content)
	}
	return content, nil
}

// emptyBody is the digest of a body that is not there.
var emptyBody = digest("")

// sign makes a request without a body and without a query ours, by AWS Signature Version 4: with
// all headers that it has.
func (s storage) sign(request *http.Request, now time.Time) {
	date := now.UTC().Format("20060102")
	request.Header.Set("X-Amz-Date", now.UTC().Format("20060102T150405Z"))
	request.Header.Set("X-Amz-Content-Sha256", emptyBody)
	if s.sessionToken != "" {
		request.Header.Set("X-Amz-Security-Token", s.sessionToken)
	}
	headers := map[string]string{"host": request.URL.Host}
	for name := range request.Header {
		headers[strings.ToLower(name)] = strings.TrimSpace(request.Header.Get(name))
	}
	names := slices.Sorted(maps.Keys(headers))
	signed := strings.Join(names, ";")

	lines := []string{request.Method, request.URL.EscapedPath(), ""}
	for _, name := range names {
		lines = append(lines, name+":"+headers[name])
	}
	lines = append(lines, "", signed, emptyBody)

	scope := date + "/" + s.region + "/s3/aws4_request"
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", request.Header.Get("X-Amz-Date"), scope, digest(strings.Join(lines, "\n"))}, "\n")
	key := []byte("AWS4" + s.secretKey)
	for _, part := range []string{date, s.region, "s3", "aws4_request"} {
		key = seal(key, part)
	}
	request.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%s,Signature=%s",
		s.accessKey, scope, signed, hex.EncodeToString(seal(key, toSign))))
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func seal(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}
