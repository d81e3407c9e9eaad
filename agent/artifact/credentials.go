package artifact

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Credentials are how to prove to a store who we are, and how it proves who it is: the content
// of a Secret in the form that KServe takes, so that one Secret serves both. The zero value is
// the identity of this process: what the SDK of the store finds in its environment.
//
// Keys for s3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or awsAccessKeyID and
// awsSecretAccessKey), AWS_SESSION_TOKEN; and as annotations serving.kserve.io/s3-endpoint,
// -usehttps, -region, -verifyssl, -useanoncredential, -usevirtualbucket, -useaccelerate, or as
// keys under the names of KServe's variables (S3_ENDPOINT, AWS_DEFAULT_REGION, …).
// For gs: gcloud-application-credentials.json, the key of a service account.
// For azblob: AZURE_STORAGE_ACCESS_KEY, or AZURE_TENANT_ID, AZURE_CLIENT_ID and
// AZURE_CLIENT_SECRET (or AZ_…), and AZURE_ACCOUNT_NAME or AZURE_SERVICE_URL.
// For oci: .dockerconfigjson. For all: ca.crt, authorities to trust besides the system's.
type Credentials struct {
	Data        map[string][]byte
	Annotations map[string]string
	// CA holds authorities to trust, PEM-encoded: cabundle.crt of the ConfigMap that
	// [Credentials.CAConfigMap] names.
	CA []byte
}

// Format keeps secrets out of every verb of fmt.
func (c Credentials) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.whose()) }

// whose says whose credentials these are.
func (c Credentials) whose() string {
	if len(c.Data) > 0 {
		return "the credentials given"
	}
	return "the identity that this process has"
}

const kserve = "serving.kserve.io/"

// CAConfigMap is the name of a ConfigMap beside the Secret with authorities to trust for S3,
// under the key cabundle.crt; empty if the Secret names none.
func (c Credentials) CAConfigMap() string {
	return c.setting("s3-cabundle-configmap", "AWS_CA_BUNDLE_CONFIGMAP")
}

// setting is an annotation or, without it, the first of the keys that there is.
func (c Credentials) setting(annotation string, keys ...string) string {
	return cmp.Or(strings.TrimSpace(c.Annotations[kserve+annotation]), c.text(keys...))
}

// text is the first of the keys that there is, without the newline that files end in.
func (c Credentials) text(keys ...string) string {
	for _, key := range keys {
		if value := strings.TrimSpace(string(c.Data[key])); value != "" {
			return value
		}
	}
	return ""
}

// authorities are those to trust besides the system's; nil for the system's only.
func (c Credentials) authorities() (*x509.CertPool, error) {
	bundles := [][]byte{c.Data["ca.crt"], c.CA}
	if !slices.ContainsFunc(bundles, func(b []byte) bool { return len(b) > 0 }) {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	for _, bundle := range bundles {
		if len(bundle) > 0 && !pool.AppendCertsFromPEM(bundle) {
			return nil, errorf(Invalid, "the authorities to trust (ca.crt, or the ConfigMap of the Secret) hold no certificate: they have to be in PEM form")
		}
	}
	return pool, nil
}

// s3Settings are how to reach an S3 store.
type s3Settings struct {
	endpoint                string // a URL; empty for AWS
	region                  string
	key, secret, token      string
	anonymous               bool
	virtualHost, accelerate bool
	insecure                bool // the certificate is not checked
}

func (c Credentials) s3() (s3Settings, error) {
	s := s3Settings{
		region:      c.setting("s3-region", "AWS_DEFAULT_REGION", "AWS_REGION"),
		key:         c.text("AWS_ACCESS_KEY_ID", "awsAccessKeyID"),
		secret:      c.text("AWS_SECRET_ACCESS_KEY", "awsSecretAccessKey"),
		token:       c.text("AWS_SESSION_TOKEN"),
		anonymous:   yes(c.setting("s3-useanoncredential", "awsAnonymousCredential")),
		virtualHost: yes(c.setting("s3-usevirtualbucket", "S3_USER_VIRTUAL_BUCKET")),
		accelerate:  yes(c.setting("s3-useaccelerate", "S3_USE_ACCELERATE")),
		insecure:    no(c.setting("s3-verifyssl", "S3_VERIFY_SSL")),
	}
	if host := c.setting("s3-endpoint", "S3_ENDPOINT"); host != "" {
		scheme := "https://"
		if c.setting("s3-usehttps", "S3_USE_HTTPS") == "0" {
			scheme = "http://"
		}
		if !hostPort.MatchString(host) {
			return s, errorf(Invalid, "serving.kserve.io/s3-endpoint of the Secret is not a host with or without a port: write minio.example.com:9000, without https:// and without a path")
		}
		s.endpoint = scheme + host
	}
	switch {
	case s.anonymous || len(c.Data) == 0:
	case s.key == "" || s.secret == "":
		return s, errorf(Invalid, "the Secret lacks AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY: add them, or set serving.kserve.io/s3-useanoncredential to \"true\" if the bucket is public")
	}
	return s, nil
}

// hostPort is a host, with or without a port.
var hostPort = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)

// yes and no are what KServe takes for them.
func yes(value string) bool { return strings.EqualFold(value, "true") }
func no(value string) bool  { return value == "0" || strings.EqualFold(value, "false") }
