package bucket

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/e2e/objectstore"
)

// TestSignature has the examples of Amazon's documentation of Signature Version 4.
func TestSignature(t *testing.T) {
	s := Store{region: "us-east-1", accessKey: "AKIAIOSFODNN7EXAMPLE", secretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	for _, c := range []struct {
		method, path, query, body string
		headers                   map[string]string
		signed, signature         string
	}{
		{
			http.MethodGet, "/test.txt", "", "", map[string]string{"Range": "bytes=0-9"},
			"host;range;x-amz-content-sha256;x-amz-date", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
		},
		{
			http.MethodPut, "/" + escape("test$file.text"), "", "Welcome to Amazon S3.",
			map[string]string{"Date": "Fri, 24 May 2013 00:00:00 GMT", "X-Amz-Storage-Class": "REDUCED_REDUNDANCY"},
			"date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
		},
		{
			http.MethodGet, "/", encode(url.Values{"prefix": {"J"}, "max-keys": {"2"}}), "", nil,
			"host;x-amz-content-sha256;x-amz-date", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
		},
	} {
		request, err := http.NewRequest(c.method, "https://examplebucket.s3.amazonaws.com"+c.path+"?"+c.query, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range c.headers {
			request.Header.Set(name, value)
		}
		s.sign(request, digest([]byte(c.body)), time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC))
		want := "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=" + c.signed + ",Signature=" + c.signature
		if got := request.Header.Get("Authorization"); got != want {
			t.Errorf("%s %s: have %s\nwant %s", c.method, c.path, got, want)
		}
	}
}

func TestOpen(t *testing.T) {
	for _, c := range []struct {
		environment string
		want        Store
	}{
		{"", Store{endpoint: "https://s3.us-east-1.amazonaws.com", region: "us-east-1"}},
		{"AWS_REGION=eu-west-1 AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b AWS_SESSION_TOKEN=c",
			Store{endpoint: "https://s3.eu-west-1.amazonaws.com", region: "eu-west-1", accessKey: "a", secretKey: "b", sessionToken: "c"}},
		{"AWS_DEFAULT_REGION=x AWS_ENDPOINT_URL=http://one", Store{endpoint: "http://one", region: "x"}},
		{"AWS_ENDPOINT_URL=http://one AWS_ENDPOINT_URL_S3=http://two", Store{endpoint: "http://two", region: "us-east-1"}},
	} {
		variables := map[string]string{}
		for _, v := range strings.Fields(c.environment) {
			name, value, _ := strings.Cut(v, "=")
			variables[name] = value
		}
		if got := Open(func(name string) string { return variables[name] }); got != c.want {
			t.Errorf("%s: have %+v, want %+v", c.environment, got, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	for uri, want := range map[string][2]string{
		"s3://data/fraud/2026/": {"data", "fraud/2026/"},
		"s3://data/":            {"data", ""},
		"s3://data":             {"data", ""},
	} {
		if bucket, key, err := Parse(uri); err != nil || bucket != want[0] || key != want[1] {
			t.Errorf("%s: %q, %q, %v", uri, bucket, key, err)
		}
	}
	for _, uri := range []string{"", "data/fraud", "gs://data/fraud", "s3:///fraud", "s3://"} {
		if _, _, err := Parse(uri); err == nil || !strings.Contains(err.Error(), "write s3://bucket/key") {
			t.Errorf("%q: %v", uri, err)
		}
	}
}

// odd is a prefix with what URLs and signatures have to be careful about.
const odd = "fräud + (1)/v=7 ~x/"

// TestStore works on a real S3 server.
func TestStore(t *testing.T) {
	server, err := objectstore.Start(t.Context(), objectstore.Options{Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := server.CreateBucket(t.Context(), "data"); err != nil {
		t.Fatal(err)
	}
	environment := map[string]string{"AWS_ENDPOINT_URL_S3": server.Endpoint + "/", "AWS_ACCESS_KEY_ID": server.AccessKey, "AWS_SECRET_ACCESS_KEY": server.SecretKey}
	variable := func(name string) string { return environment[name] }
	s := Open(variable)

	for _, key := range []string{"plain.csv", odd + "b.csv", odd + "a.csv"} {
		if err := s.Put(t.Context(), "data", key, []byte("in "+key)); err != nil {
			t.Fatal(err)
		}
		if content, err := s.Get(t.Context(), "data", key, 100); err != nil || string(content) != "in "+key {
			t.Errorf("%s: %q, %v", key, content, err)
		}
	}
	list, err := s.List(t.Context(), "data", odd)
	if err != nil || len(list) != 2 || list[0].Key != odd+"a.csv" || list[1].Key != odd+"b.csv" || list[0].Size != int64(len("in "+odd+"a.csv")) || list[0].ETag == "" {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := s.List(t.Context(), "data", "nothing/"); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}

	_, errGet := s.Get(t.Context(), "data", "plain.csv", 3)
	_, errMissing := s.Get(t.Context(), "data", "missing", 3)
	_, errList := s.List(t.Context(), "nowhere", "")
	errPut := s.Put(t.Context(), "nowhere", "x", nil)
	environment["AWS_SECRET_ACCESS_KEY"] = "wrong"
	_, errWrong := Open(variable).Get(t.Context(), "data", "plain.csv", 3)
	delete(environment, "AWS_ACCESS_KEY_ID")
	_, errNobody := Open(variable).Get(t.Context(), "data", "plain.csv", 3)
	for n, c := range []struct {
		err  error
		want string
	}{
		{errGet, "s3://data/plain.csv has more than 3 bytes"},
		{errMissing, "the object store answers 404 Not Found: "},
		{errList, "the object store answers 404 Not Found: "},
		{errPut, "the object store answers 404 Not Found: "},
		{errWrong, "the object store answers 403 Forbidden: "},
		{errNobody, "the object store answers 403 Forbidden: "},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%d: want %q, have %v", n, c.want, c.err)
		}
	}
}

// TestPages lists what a store gives in pages, and no list without an end.
func TestPages(t *testing.T) {
	pages := map[string]string{
		"":     `<ListBucketResult><Contents><Key>a</Key></Contents><IsTruncated>true</IsTruncated><NextContinuationToken>t/1+</NextContinuationToken></ListBucketResult>`,
		"t/1+": `<ListBucketResult><Contents><Key>b</Key></Contents></ListBucketResult>`,
	}
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch page, known := pages[r.URL.Query().Get("continuation-token")]; {
		case r.URL.Path == "/endless/":
			_, _ = w.Write([]byte(pages[""]))
		case r.URL.Path == "/broken/":
			_, _ = w.Write([]byte("{}"))
		case known:
			_, _ = w.Write([]byte(page))
		}
	}))
	defer store.Close()
	s := Store{endpoint: store.URL}
	list, err := s.List(t.Context(), "data", "")
	if err != nil || !slices.Equal(list, []Object{{Key: "a"}, {Key: "b"}}) {
		t.Errorf("%+v, %v", list, err)
	}
	for bucket, want := range map[string]string{"endless": "more objects than 100 pages", "broken": "the list of the object store cannot be read"} {
		if _, err := s.List(t.Context(), bucket, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", bucket, err)
		}
	}
}
