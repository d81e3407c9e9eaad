package bucket

import (
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

// sign makes a request ours, by AWS Signature Version 4: with all headers that it has, and the
// digest of its body.
func (s Store) sign(request *http.Request, body string, now time.Time) {
	date := now.UTC().Format("20060102")
	request.Header.Set("X-Amz-Date", now.UTC().Format("20060102T150405Z"))
	request.Header.Set("X-Amz-Content-Sha256", body)
	if s.sessionToken != "" {
		request.Header.Set("X-Amz-Security-Token", s.sessionToken)
	}
	headers := map[string]string{"host": request.URL.Host}
	for name := range request.Header {
		headers[strings.ToLower(name)] = strings.TrimSpace(request.Header.Get(name))
	}
	names := slices.Sorted(maps.Keys(headers))
	signed := strings.Join(names, ";")

	lines := []string{request.Method, request.URL.EscapedPath(), request.URL.RawQuery}
	for _, name := range names {
		lines = append(lines, name+":"+headers[name])
	}
	lines = append(lines, "", signed, body)

	scope := date + "/" + s.region + "/s3/aws4_request"
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", request.Header.Get("X-Amz-Date"), scope, digest([]byte(strings.Join(lines, "\n")))}, "\n")
	key := []byte("AWS4" + s.secretKey)
	for _, part := range []string{date, s.region, "s3", "aws4_request"} {
		key = seal(key, part)
	}
	request.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%s,Signature=%s",
		s.accessKey, scope, signed, hex.EncodeToString(seal(key, toSign))))
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func seal(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}
