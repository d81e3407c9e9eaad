package artifact

import (
	"cmp"
	"context"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	azblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
)

// azures is how Azure Blob Storage tells versions apart. Where an account has real directories,
// they are listed as empty objects.
var azures = dialect{
	describe: func(o *blob.ListObject) (string, string, bool) {
		var raw container.BlobItem
		if !o.As(&raw) || raw.Properties == nil {
			return "", "", false
		}
		return valueOf(raw.Name), string(valueOf(raw.Properties.ETag)), valueOf(raw.Properties.ResourceType) == "directory"
	},
	pin: func(as func(any) bool, f file) {
		var options *azblob.DownloadStreamOptions
		if as(&options) && f.tag != "" {
			tag := azcore.ETag(`"` + f.tag + `"`)
			options.AccessConditions = &azblob.AccessConditions{ModifiedAccessConditions: &azblob.ModifiedAccessConditions{IfMatch: &tag}}
		}
	},
	tag: func(r *blob.Reader) string {
		var raw azblob.DownloadStreamResponse
		r.As(&raw)
		return string(valueOf(raw.ETag))
	},
}

func (i *Inspector) openAzure(ctx context.Context, at location, c Credentials) (store, error) {
	trusted, err := c.authorities()
	if err != nil {
		return nil, err
	}
	server, account := azureAccount(at, c)
	if server == "" {
		return nil, errorf(Invalid, "the account is not known: write the URI as https://ACCOUNT.blob.core.windows.net/%s/%s, or add AZURE_ACCOUNT_NAME to the Secret", at.host, at.path)
	}
	address, err := url.JoinPath(server, at.host)
	if err != nil {
		return nil, errorf(Invalid, "AZURE_SERVICE_URL of the Secret is no URL: write https://ACCOUNT.blob.core.windows.net")
	}
	line := i.newLine(trusted, false)
	client, err := i.azureClient(ctx, address, account, c, azcore.ClientOptions{
		Transport: line.client(),
		Retry:     policy.RetryOptions{MaxRetries: 2, RetryDelay: time.Second, MaxRetryDelay: 5 * time.Second},
	})
	if err != nil {
		return nil, err
	}
	opened, err := azureblob.OpenBucket(ctx, client, nil)
	if err != nil {
		return nil, err
	}
	return &bucket{Bucket: opened, dialect: azures, at: at, name: "azblob " + address, done: line.base.CloseIdleConnections}, nil
}

// azureAccount is the URL of the account's blob service, and its name.
func azureAccount(at location, c Credentials) (server, account string) {
	account = c.text("AZURE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
	if len(c.Data) == 0 {
		account = cmp.Or(os.Getenv("AZURE_STORAGE_ACCOUNT"), os.Getenv("AZURE_ACCOUNT_NAME"))
	}
	if at.server != "" { // https://ACCOUNT.…
		u, _ := url.Parse(at.server) // it was checked
		return at.server, firstLabel(u.Hostname())
	}
	if server = c.text("AZURE_SERVICE_URL"); server == "" && account != "" {
		server = "https://" + account + ".blob.core.windows.net"
	}
	if account == "" && server != "" {
		u, err := url.Parse(server)
		if err != nil {
			return server, ""
		}
		account = firstLabel(u.Hostname())
	}
	return server, account
}

func firstLabel(host string) string {
	label, _, _ := strings.Cut(host, ".")
	return label
}

// azureClient has the credentials given or, if there are none, those of this process.
func (i *Inspector) azureClient(ctx context.Context, address, account string, c Credentials, line azcore.ClientOptions) (*container.Client, error) {
	options := &container.ClientOptions{ClientOptions: line}
	if len(c.Data) == 0 {
		own, err := i.own.azureTokens(ctx)
		if err != nil {
			return nil, err
		}
		return container.NewClient(address, own, options)
	}
	if key := c.text("AZURE_STORAGE_ACCESS_KEY"); key != "" {
		shared, err := container.NewSharedKeyCredential(account, key)
		if err != nil {
			return nil, errorf(Invalid, "AZURE_STORAGE_ACCESS_KEY of the Secret is no key of an account: copy it anew")
		}
		return container.NewClientWithSharedKeyCredential(address, shared, options)
	}
	tenant, id, secret := c.text("AZURE_TENANT_ID", "AZ_TENANT_ID"), c.text("AZURE_CLIENT_ID", "AZ_CLIENT_ID"), c.text("AZURE_CLIENT_SECRET", "AZ_CLIENT_SECRET")
	if tenant == "" || id == "" || secret == "" {
		return nil, errorf(Invalid, "the Secret lacks credentials for Azure: add AZURE_STORAGE_ACCESS_KEY, or AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET")
	}
	principal, err := azidentity.NewClientSecretCredential(tenant, id, secret, &azidentity.ClientSecretCredentialOptions{ClientOptions: line})
	if err != nil {
		return nil, errorf(Invalid, "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET of the Secret cannot be used: check them")
	}
	if _, err := principal.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{azureScope}}); err != nil {
		return nil, errorf(Forbidden, "Azure does not accept AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET of the Secret: check them")
	}
	return container.NewClient(address, principal, options)
}
