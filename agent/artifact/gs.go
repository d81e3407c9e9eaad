package artifact

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"cloud.google.com/go/storage"
	"gocloud.dev/blob"
	"gocloud.dev/blob/gcsblob"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/option"
)

// googles is how Google Cloud Storage tells versions apart: by generations, which can be asked for.
var googles = dialect{
	describe: func(o *blob.ListObject) (string, string, bool) {
		var raw storage.ObjectAttrs
		o.As(&raw)
		return raw.Name, strconv.FormatInt(raw.Generation, 10), false
	},
	pin: func(as func(any) bool, f file) {
		var handle **storage.ObjectHandle
		if !as(&handle) {
			return
		}
		*handle = (*handle).ReadCompressed(true) // the bytes as they are stored
		if generation, err := strconv.ParseInt(f.tag, 10, 64); err == nil {
			*handle = (*handle).Generation(generation)
		}
	},
	tag: func(r *blob.Reader) string {
		var raw *storage.Reader
		if !r.As(&raw) {
			return ""
		}
		return strconv.FormatInt(raw.Attrs.Generation, 10)
	},
}

func (i *Inspector) openGS(ctx context.Context, at location, c Credentials) (store, error) {
	trusted, err := c.authorities()
	if err != nil {
		return nil, err
	}
	line := i.newLine(trusted, false)
	tokens, err := i.googleTokens(ctx, c, line)
	if err != nil {
		return nil, err
	}
	sender := line.client()
	if tokens != nil {
		sender.Transport = &oauth2.Transport{Source: tokens, Base: line}
	}
	client, err := storage.NewClient(ctx, option.WithHTTPClient(sender))
	if err != nil {
		return nil, err
	}
	client.SetRetry(storage.WithMaxAttempts(3)) // or it would try until the time is up
	opened, err := gcsblob.OpenBucket(ctx, nil, at.host, &gcsblob.Options{Client: client})
	if err != nil {
		return nil, err
	}
	return &bucket{
		Bucket: opened, dialect: googles, at: at, name: "gs " + at.host,
		done: func() {
			_ = client.Close() // it was only read
			line.base.CloseIdleConnections()
		},
	}, nil
}

const googleKey = "gcloud-application-credentials.json"

// googleTokens are for the service account whose key is given, or for this process; nil for
// nobody in particular.
func (i *Inspector) googleTokens(ctx context.Context, c Credentials, line http.RoundTripper) (oauth2.TokenSource, error) {
	if len(c.Data) == 0 {
		return i.own.googleTokens(ctx), nil
	}
	key := c.Data[googleKey]
	var kind struct {
		Type google.CredentialsType `json:"type"`
	}
	// Other types name programs to run, files to read and servers to ask: those of a Secret are
	// not ours.
	if json.Unmarshal(key, &kind) != nil || kind.Type != google.ServiceAccount {
		return nil, errorf(Invalid, "the Secret has no key of a service account under %s: create one with gcloud iam service-accounts keys create", googleKey)
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: line})
	found, err := google.CredentialsFromJSONWithType(ctx, key, google.ServiceAccount, googleScope)
	if err != nil {
		return nil, errorf(Invalid, "the key of a service account under %s of the Secret cannot be read: create it anew", googleKey)
	}
	return found.TokenSource, nil
}
