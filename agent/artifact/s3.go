package artifact

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
)

// amazon is how S3 tells versions apart.
var amazon = dialect{
	describe: func(o *blob.ListObject) (string, string, bool) {
		var raw types.Object
		o.As(&raw)
		return aws.ToString(raw.Key), aws.ToString(raw.ETag), false
	},
	pin: func(as func(any) bool, f file) {
		var input *s3.GetObjectInput
		if as(&input) && f.tag != "" {
			input.IfMatch = aws.String(`"` + f.tag + `"`)
		}
	},
	tag: func(r *blob.Reader) string {
		var output s3.GetObjectOutput
		r.As(&output)
		return aws.ToString(output.ETag)
	},
}

func (i *Inspector) openS3(ctx context.Context, at location, c Credentials) (store, error) {
	settings, err := c.s3()
	if err != nil {
		return nil, err
	}
	trusted, err := c.authorities()
	if err != nil {
		return nil, err
	}
	options := s3.Options{
		Region:        settings.region,
		UsePathStyle:  !settings.virtualHost,
		UseAccelerate: settings.accelerate,
		Retryer:       retry.NewStandard(onlyHopeful),
		// We compute a sum of our own of every byte.
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	}
	if settings.endpoint != "" {
		options.BaseEndpoint = &settings.endpoint
	}
	switch {
	case settings.anonymous:
		options.Credentials = aws.AnonymousCredentials{}
	case settings.key != "":
		options.Credentials = credentials.NewStaticCredentialsProvider(settings.key, settings.secret, settings.token)
	default:
		own, err := i.own.amazon(ctx)
		if err != nil {
			return nil, err
		}
		options.Credentials = own.Credentials
		options.Region = cmp.Or(options.Region, own.Region)
		if options.BaseEndpoint == nil {
			options.BaseEndpoint = own.BaseEndpoint
		}
		if trusted == nil {
			trusted = bundleOf(own)
		}
	}
	options.Region = cmp.Or(options.Region, "us-east-1")
	if options.BaseEndpoint == nil {
		options.UsePathStyle = false // Amazon's own stores have a host for each bucket
	}
	line := i.newLine(trusted, settings.insecure)
	options.HTTPClient = line.client()
	opened, err := s3blob.OpenBucket(ctx, s3.New(options), at.host, nil)
	if err != nil {
		return nil, err
	}
	return &bucket{
		Bucket: opened, dialect: amazon, at: at, done: line.base.CloseIdleConnections,
		name: "s3 " + aws.ToString(options.BaseEndpoint) + " " + at.host,
	}, nil
}

// onlyHopeful does not try again what another attempt does not mend.
func onlyHopeful(o *retry.StandardOptions) {
	hopeless := func(err error) aws.Ternary {
		if errors.Is(err, errStalled) || errors.Is(err, errAnswer) || errors.Is(err, errRequests) || certificateError(err) != nil {
			return aws.FalseTernary
		}
		return aws.UnknownTernary
	}
	o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(hopeless)}, o.Retryables...)
}

// bundleOf is what AWS_CA_BUNDLE says to trust; nil for the system's authorities.
func bundleOf(own aws.Config) *x509.CertPool {
	client, ok := own.HTTPClient.(*awshttp.BuildableClient)
	if !ok || client.GetTransport().TLSClientConfig == nil {
		return nil
	}
	return client.GetTransport().TLSClientConfig.RootCAs
}
