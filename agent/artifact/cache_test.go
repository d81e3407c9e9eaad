package artifact

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"
)

func TestCacheIsBounded(t *testing.T) {
	c := newCache()
	key := func(n int) sum { return sha256.Sum256(fmt.Append(nil, n)) }
	for n := range maxCached + 10 {
		c.put(key(n), key(-n))
		c.get(key(0)) // used all the time
	}
	if len(c.kept) != maxCached || c.order.Len() != maxCached {
		t.Errorf("%d and %d are kept, want %d", len(c.kept), c.order.Len(), maxCached)
	}
	for n, want := range map[int]bool{0: true, 1: false, 10: false, 11: true, maxCached + 9: true} {
		if got, ok := c.get(key(n)); ok != want || ok && got != key(-n) {
			t.Errorf("entry %d is kept: %t, want %t", n, ok, want)
		}
	}
}

// TestCacheKey: whatever differs is another version.
func TestCacheKey(t *testing.T) {
	base := file{name: "n", key: "k", size: 1, tag: "t", modified: time.Unix(1, 0)}
	seen := map[sum]int{}
	for n, f := range []file{base, {key: "k2", size: 1, tag: "t", modified: base.modified}, {key: "k", size: 2, tag: "t", modified: base.modified},
		{key: "k", size: 1, tag: "t2", modified: base.modified}, {key: "k", size: 1, tag: "t", modified: time.Unix(2, 0)}} {
		for _, store := range []string{"s", "s2"} {
			key, ok := cacheKey(store, f)
			if before, twice := seen[key]; twice || !ok {
				t.Errorf("files %d and %d have the same key, or none", before, n)
			}
			seen[key] = n
		}
	}
	if _, ok := cacheKey("s", file{key: "k", size: 1}); ok {
		t.Error("a file without a version has a key")
	}
}

func TestS3Settings(t *testing.T) {
	secret := map[string][]byte{"AWS_ACCESS_KEY_ID": []byte("key\n"), "AWS_SECRET_ACCESS_KEY": []byte("secret\n")}
	with := func(more map[string]string) map[string][]byte {
		data := map[string][]byte{}
		for name, value := range secret {
			data[name] = value
		}
		for name, value := range more {
			data[name] = []byte(value)
		}
		return data
	}
	for name, test := range map[string]struct {
		c    Credentials
		want s3Settings
	}{
		"nothing": {Credentials{}, s3Settings{}},
		"keys":    {Credentials{Data: with(map[string]string{"AWS_SESSION_TOKEN": "token"})}, s3Settings{key: "key", secret: "secret", token: "token"}},
		"older keys": {Credentials{Data: map[string][]byte{"awsAccessKeyID": []byte("key"), "awsSecretAccessKey": []byte("secret")}},
			s3Settings{key: "key", secret: "secret"}},
		"annotations": {Credentials{Data: secret, Annotations: map[string]string{
			kserve + "s3-endpoint": "minio:9000", kserve + "s3-usehttps": "0", kserve + "s3-region": "eu-west-1", kserve + "s3-verifyssl": "0",
			kserve + "s3-usevirtualbucket": "true", kserve + "s3-useaccelerate": "true",
		}}, s3Settings{key: "key", secret: "secret", endpoint: "http://minio:9000", region: "eu-west-1", insecure: true, virtualHost: true, accelerate: true}},
		"keys of data": {Credentials{Data: with(map[string]string{
			"S3_ENDPOINT": "minio.example.com", "S3_USE_HTTPS": "1", "AWS_DEFAULT_REGION": "eu-west-1", "S3_VERIFY_SSL": "False", "S3_USER_VIRTUAL_BUCKET": "True",
		})}, s3Settings{key: "key", secret: "secret", endpoint: "https://minio.example.com", region: "eu-west-1", insecure: true, virtualHost: true}},
		"annotations go first": {Credentials{Data: with(map[string]string{"S3_ENDPOINT": "one"}), Annotations: map[string]string{kserve + "s3-endpoint": "[::1]:9000"}},
			s3Settings{key: "key", secret: "secret", endpoint: "https://[::1]:9000"}},
		"anonymous":           {Credentials{Data: map[string][]byte{"awsAnonymousCredential": []byte("true")}}, s3Settings{anonymous: true}},
		"endpoint, no Secret": {Credentials{Annotations: map[string]string{kserve + "s3-endpoint": "minio"}}, s3Settings{endpoint: "https://minio"}},
	} {
		if got, err := test.c.s3(); err != nil || got != test.want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, test.want)
		}
	}
}
