package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/sluice-dev/sluice/agent/registration"
	"github.com/spf13/cobra"
)

// registering is one call of `sluice model register`.
type registering struct {
	spec        v1alpha1.ModelVersionSpec
	namespace   string
	secret      string
	format      string
	metrics     []string
	metricsFile string
	to          string
	output      string
	from        storage

	out, remarks io.Writer
}

func newModelRegisterCommand() *cobra.Command {
	r := registering{output: "yaml"}
	cmd := &cobra.Command{
		Use:   "register URI --model MODEL --version VERSION",
		Short: "Write the ModelVersion of a trained model",
		Long: `Write the ModelVersion of a trained model: read the artifact, and put its digest and size into a
manifest together with its metrics and where it comes from. Nothing is written to the cluster:
the manifest goes into Git, and a version serves when a Model names it.

With --to the manifest is written into a directory, as MODEL-VERSION.yaml, and added to the
resources of its kustomization, which keeps its comments and its format. A version never
changes: a manifest that is there with another content is not overwritten.

pvc:// and hf:// are not read: their ModelVersions have no digest.

` + storageHelp,
		Example: `  # To look at
  sluice model register s3://models/fraud/v8/ --model fraud --version v8 --metric auc=0.941

  # Into the repository, with what the training wrote
  sluice model register s3://models/fraud/v8/ --model fraud --version v8 --format sklearn:1 \
    --metrics-file metrics.json --run train-20260102 --commit 4f2a9c1 \
    --secret models-s3 --to overlays/models/fraud/versions`,
		Args: usage(cobra.ExactArgs(1), "name one artifact: sluice model register URI --model MODEL --version VERSION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.out, r.remarks = cmd.OutOrStdout(), cmd.ErrOrStderr()
			r.spec.Artifact.URI = args[0]
			return r.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&r.spec.Model, "model", "", "Name of the Model.")
	flags.StringVar(&r.spec.Version, "version", "", "Name of the version, such as v8.")
	flags.StringArrayVar(&r.metrics, "metric", nil, "A metric, as auc=0.941; can be given several times.")
	flags.StringVar(&r.metricsFile, "metrics-file", "", "JSON file with metrics: an object of names and numbers. --metric goes before it.")
	flags.StringVar(&r.format, "format", "", "Format as KServe names it, such as sklearn or sklearn:1.")
	flags.StringVar(&r.spec.Lineage.Run, "run", "", "What trained it.")
	flags.StringVar(&r.spec.Lineage.Pipeline, "pipeline", "", "The pipeline of the run.")
	flags.StringVar(&r.spec.Lineage.Dataset, "dataset", "", "What it was trained with.")
	flags.StringVar(&r.spec.Lineage.Commit, "commit", "", "Commit of the training code.")
	flags.StringVar(&r.secret, "secret", "", "Secret with which the agent reads the artifact.")
	flags.StringVar(&r.spec.Artifact.Signature, "signature", "", "Signature over the digest, in base64: see sluice model digest --help.")
	flags.StringVarP(&r.namespace, "namespace", "n", "", "Namespace of the ModelVersion. Default: none, for Kustomize to set.")
	flags.StringVar(&r.to, "to", "", "Directory to write it to, and to whose kustomization to add it.")
	r.from.flags(cmd)
	outputFlag(cmd, &r.output, "yaml", "json")
	return cmd
}

func (r *registering) run(ctx context.Context) error {
	if err := r.complete(); err != nil {
		return err
	}
	if err := r.read(ctx); err != nil {
		return err
	}
	if r.to == "" {
		manifest, err := r.manifest()
		if err != nil {
			return err
		}
		_, err = r.out.Write(manifest)
		return err
	}
	return r.write()
}

// complete checks the flags and puts them into the spec.
func (r *registering) complete() error {
	switch {
	case r.spec.Model == "" || r.spec.Version == "":
		return errors.New("say which version of which model it is: --model fraud --version v8")
	case r.to != "" && r.output != "yaml":
		return errors.New("--to writes YAML: leave -o out")
	case !strings.Contains(r.spec.Artifact.URI, "://"):
		return errors.New("the agent cannot read the disk of this machine: upload the files, and name them by their URI, such as s3://models/fraud/v8/")
	}
	if err := registration.CheckModel(r.spec.Model); err != nil {
		return fmt.Errorf("--model %w", err)
	}
	if err := registration.CheckVersion(r.spec.Model, r.spec.Version); err != nil {
		return fmt.Errorf("--version %w", err)
	}
	r.spec.Format.Name, r.spec.Format.Version, _ = strings.Cut(r.format, ":")
	if r.secret != "" {
		r.spec.Artifact.SecretRef = &meta.LocalObjectReference{Name: r.secret}
	}
	if err := r.readMetrics(); err != nil {
		return err
	}
	return registration.Check(r.spec)
}

// readMetrics puts the metrics of the file and of the flags together.
func (r *registering) readMetrics() error {
	metrics := map[string]string{}
	if r.metricsFile != "" {
		fromFile, err := metricsOf(r.metricsFile)
		if err != nil {
			return fmt.Errorf("%s: %w", r.metricsFile, err)
		}
		maps.Copy(metrics, fromFile)
	}
	for _, metric := range r.metrics {
		name, value, found := strings.Cut(metric, "=")
		if !found {
			return fmt.Errorf("--metric %s has no value: write it as auc=0.941", oneLine(metric))
		}
		metrics[name] = value
	}
	var err error
	r.spec.Metrics, err = registration.Metrics(metrics)
	return err
}

// maxMetricsFile is more than 128 metrics take.
const maxMetricsFile = 1 << 20

// metricsOf reads a file with an object of names and numbers, each number as it is written.
func metricsOf(name string) (map[string]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxMetricsFile+1))
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	if len(text) > maxMetricsFile {
		return nil, errors.New("it is larger than 1 MiB: keep the metrics that gates need")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	values := map[string]any{}
	if err := decoder.Decode(&values); err != nil || decoder.More() {
		return nil, errors.New(`it is no JSON object of names and numbers: write {"auc": 0.941}; NaN and Infinity are no numbers`)
	}
	metrics := map[string]string{}
	for key, value := range values {
		switch value := value.(type) {
		case json.Number:
			metrics[key] = value.String()
		case string:
			metrics[key] = value // a decimal, or it is refused below
		default:
			return nil, fmt.Errorf("%s is no number: keep names and numbers only", oneLine(key))
		}
	}
	return metrics, nil
}

// read looks at the artifact.
func (r *registering) read(ctx context.Context) error {
	uri := r.spec.Artifact.URI
	if err := artifact.Check(uri); err != nil {
		return err
	}
	if !artifact.Verified(uri) {
		scheme, _, _ := strings.Cut(uri, "://")
		_, err := fmt.Fprintf(r.remarks, "%s:// is not read: the ModelVersion has no digest, and is not verified when it is to serve.\n", scheme)
		return err
	}
	c, err := r.from.credentials()
	if err != nil {
		return err
	}
	found, err := artifact.NewInspector(artifact.DefaultLimits()).Digest(ctx, uri, c)
	if err != nil {
		return err
	}
	r.spec.Artifact.URI, r.spec.Artifact.Digest, r.spec.Artifact.Size = found.URI, found.Digest, &found.Size
	return nil
}

// manifest is the ModelVersion as it is printed or written.
func (r *registering) manifest() ([]byte, error) {
	if r.output == "json" {
		return registration.JSON(r.namespace, r.spec)
	}
	return registration.YAML(r.namespace, r.spec)
}

// write puts the manifest into a directory.
func (r *registering) write() error {
	manifest, err := r.manifest()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.to, 0o755); err != nil {
		return err
	}
	name := registration.Name(r.spec.Model, r.spec.Version) + ".yaml"
	file := filepath.Join(r.to, name)
	there, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := replaceFile(file, manifest); err != nil {
			return err
		}
		fmt.Fprintf(r.out, "Wrote %s.\n", file)
	case err != nil:
		return err
	case !bytes.Equal(there, manifest):
		return fmt.Errorf("%s is there and says something else: a version never changes; register it as another version, or delete the file if the version was never used", file)
	default:
		fmt.Fprintf(r.out, "%s is there already.\n", file)
	}
	kustomization, added, err := addToKustomization(r.to, name)
	if err != nil {
		return err
	}
	if added {
		fmt.Fprintf(r.out, "Added it to %s.\n", kustomization)
	}
	return nil
}

// replaceFile writes a file, which is whole or as it was.
func replaceFile(name string, content []byte) error {
	unfinished := name + ".unfinished"
	if err := os.WriteFile(unfinished, content, 0o644); err != nil {
		return errors.Join(err, os.Remove(unfinished))
	}
	return os.Rename(unfinished, name)
}
