package artifact

import (
	"context"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

// identities are those that this process has at the stores: what their SDKs find in its
// environment, its files and the machine it runs on. They are looked for when they are needed
// and kept, with the tokens that they got.
type identities struct {
	aws    kept[aws.Config]
	google kept[oauth2.TokenSource]
	azure  kept[azcore.TokenCredential]
}

// kept is a value that is looked for until it is found.
type kept[T any] struct {
	mu    sync.Mutex
	found bool
	value T
}

func (k *kept[T]) get(find func() (T, error)) (T, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.found {
		return k.value, nil
	}
	value, err := find()
	if err == nil {
		k.found, k.value = true, value
	}
	return value, err
}

// identityTimeout bounds how long they are looked for.
const identityTimeout = 30 * time.Second

func (own *identities) amazon(ctx context.Context) (aws.Config, error) {
	ctx, cancel := context.WithTimeout(ctx, identityTimeout)
	defer cancel()
	found, err := own.aws.get(func() (aws.Config, error) { return config.LoadDefaultConfig(ctx) })
	if err != nil {
		return aws.Config{}, errorf(Invalid, "what this process has of AWS' configuration cannot be used: check its AWS_ variables and ~/.aws")
	}
	if _, err := found.Credentials.Retrieve(ctx); err != nil {
		return aws.Config{}, errorf(Forbidden, "this process has no credentials for S3: name a Secret in secretRef; on a command line set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
	}
	return found, nil
}

const googleScope = "https://www.googleapis.com/auth/devstorage.read_only"

// googleTokens returns nil where there is no identity: what is public can be read without.
func (own *identities) googleTokens(ctx context.Context) oauth2.TokenSource {
	found, err := own.google.get(func() (oauth2.TokenSource, error) {
		credentials, err := google.FindDefaultCredentials(context.WithoutCancel(ctx), googleScope)
		if err != nil {
			return nil, err
		}
		return credentials.TokenSource, nil
	})
	if err != nil {
		return nil
	}
	return found
}

const azureScope = "https://storage.azure.com/.default"

func (own *identities) azureTokens(ctx context.Context) (azcore.TokenCredential, error) {
	ctx, cancel := context.WithTimeout(ctx, identityTimeout)
	defer cancel()
	found, err := own.azure.get(func() (azcore.TokenCredential, error) { return azidentity.NewDefaultAzureCredential(nil) })
	if err == nil {
		_, err = found.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{azureScope}})
	}
	if err != nil {
		return nil, errorf(Forbidden, "this process has no identity at Azure: name a Secret in secretRef; on a command line run az login, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET")
	}
	return found, nil
}
