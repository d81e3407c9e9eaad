package main

import (
	"fmt"
	"net/url"
	"os"

	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/spf13/cobra"
)

// newModelCommand has the verbs about models.
func newModelCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "model",
		Short: "Register trained models, and look at them",
		Args:  usage(cobra.NoArgs, "say what to do with a model"),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, verb := range []*cobra.Command{newModelDigestCommand(), newModelRegisterCommand(), newModelHistoryCommand(), newModelDiffCommand()} {
		verb.DisableFlagsInUseLine = true
		cmd.AddCommand(verb)
	}
	return cmd
}

// storage is how a command line reaches object storage. Credentials come from where the SDKs look
// for them; this is what has no good name there.
type storage struct {
	endpoint, region, caFile string
}

const storageHelp = `Credentials are those that the SDKs of the stores find: for s3 AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY, AWS_PROFILE or what the machine has; for gs GOOGLE_APPLICATION_CREDENTIALS or
those of gcloud, else none; for azblob AZURE_CLIENT_ID and its companions or those of az, with
the account in AZURE_STORAGE_ACCOUNT; for oci those of docker login.`

func (s *storage) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.endpoint, "s3-endpoint", "", "URL of an S3 store that is not Amazon's, such as http://minio.example.com:9000. Default: $AWS_ENDPOINT_URL.")
	cmd.Flags().StringVar(&s.region, "s3-region", "", "Region of the S3 store. Default: $AWS_REGION.")
	cmd.Flags().StringVar(&s.caFile, "ca-file", "", "File with authorities to trust besides the system's, in PEM form.")
}

// credentials puts the flags into the form of a Secret.
func (s *storage) credentials() (artifact.Credentials, error) {
	c := artifact.Credentials{Annotations: map[string]string{"serving.kserve.io/s3-region": s.region}}
	if s.endpoint != "" {
		u, err := url.Parse(s.endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Path != "" && u.Path != "/" {
			return c, fmt.Errorf("--s3-endpoint is not the URL of a server: write it as https://minio.example.com:9000, without a user and without a path")
		}
		c.Annotations["serving.kserve.io/s3-endpoint"] = u.Host
		if u.Scheme == "http" {
			c.Annotations["serving.kserve.io/s3-usehttps"] = "0"
		}
	}
	if s.caFile != "" {
		var err error
		if c.CA, err = os.ReadFile(s.caFile); err != nil {
			return c, fmt.Errorf("--ca-file cannot be read: %w", err)
		}
	}
	return c, nil
}
