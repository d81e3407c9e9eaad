package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/spf13/cobra"
)

func newModelDigestCommand() *cobra.Command {
	output, limits, from := "text", artifact.DefaultLimits(), storage{}
	cmd := &cobra.Command{
		Use:   "digest URI|PATH",
		Short: "Compute the digest of a trained model",
		Long: `Compute the digest of a trained model as the agent does, in object storage or on disk: what
spec.artifact.digest of a ModelVersion holds, and what a signature is over.

The digest of one object or file is the SHA-256 of its bytes, as sha256sum prints it. That of
everything below a URI that ends in a slash, and of a directory, is the SHA-256 of a list with a
line for each file, sorted by name: its SHA-256 in hexadecimal, its size and its path, with two
spaces between them. That of an image is the digest of its manifest.

` + storageHelp,
		Example: `  # Everything below a prefix
  sluice model digest s3://models/fraud/v8/

  # The same files on disk have the same digest
  sluice model digest ./fraud-v8

  # Sign it
  sluice model digest s3://models/fraud/v8/ -o json | jq -rj .digest | openssl dgst -sha256 -sign key.pem | base64 -w0`,
		Args: usage(cobra.ExactArgs(1), "name one artifact: sluice model digest URI, or sluice model digest PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := from.credentials()
			if err != nil {
				return err
			}
			found, err := look(cmd.Context(), artifact.NewInspector(limits), args[0], c)
			if err != nil {
				return err
			}
			if output != "text" {
				return encode(cmd.OutOrStdout(), output, map[string]any{"uri": found.URI, "digest": found.Digest, "size": found.Size, "files": found.Files})
			}
			t := table{out: cmd.OutOrStdout()}
			return t.rows([][]string{{"Digest", found.Digest}, {"Size", fmt.Sprint(found.Size, " bytes")}, {"Files", fmt.Sprint(found.Files)}})
		},
	}
	from.flags(cmd)
	cmd.Flags().IntVar(&limits.Files, "max-files", limits.Files, "Files that a model may have.")
	outputFlag(cmd, &output, "text", "json", "yaml")
	return cmd
}

// look reads an artifact, in a store or on disk.
func look(ctx context.Context, i *artifact.Inspector, name string, c artifact.Credentials) (artifact.Found, error) {
	if strings.Contains(name, "://") {
		return i.Digest(ctx, name, c)
	}
	return i.Local(ctx, name)
}
