package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-dev/sluice/e2e/objectstore"
	"github.com/sluice-dev/sluice/e2e/trainer/logistic"
)

// bucket is where trainings put models, and rows where they read what they are trained with.
const (
	bucket = "models"
	rows   = "data"
)

// trained are the artifacts of the versions of the model churn, as e2e/trainer makes them.
var trained = map[string]string{
	oldVersion:  `{"version": "v1", "link": "logistic", "columns": ["months", "complaints"], "weights": [-1.52, 1.44], "bias": -1.20}`,
	goodVersion: `{"version": "v2", "link": "logistic", "columns": ["months", "complaints"], "weights": [-1.71, 1.51], "bias": -1.32}`,
	badVersion:  `{"version": "v3", "link": "logistic", "columns": ["months", "complaints"], "weights": [-1.94, 1.58], "bias": -1.41}`,
}

// customers are by what the rows are made that a training reads: who is with the company for long and does
// not complain stays.
var customers = logistic.Model{Weights: []float64{-2.1, 1.75}, Bias: -1.5}

// startStore starts an object store, which the first time means to build it, and puts into it
// what trainings have left, and what the next one reads.
func (d *demo) startStore(ctx context.Context) (string, error) {
	var err error
	if d.store, err = objectstore.Start(ctx, objectstore.Options{Dir: filepath.Join(d.dir, "store"), Progress: progress{"object store"}}); err != nil {
		return "", err
	}
	for _, name := range []string{bucket, rows} {
		if err := d.store.CreateBucket(ctx, name); err != nil {
			return "", err
		}
	}
	recent := customers.Example([]string{"months", "complaints"}, 1, 2000)
	if err := d.store.Put(ctx, rows, model+"/recent.csv", strings.NewReader(recent)); err != nil {
		return "", err
	}
	for version, artifact := range trained {
		if err := d.store.Put(ctx, bucket, model+"/"+version+"/model.json", strings.NewReader(artifact)); err != nil {
			return "", err
		}
	}
	variables := strings.Join(d.storeVariables(), "\n") + "\n"
	note := fmt.Sprintf("%s, which speaks S3, with %d versions of the model %s", d.store.Endpoint, len(trained), model)
	return note, os.WriteFile(d.storeFile(), []byte(variables), 0o600)
}

// storeFile holds what one has to know to use the store: the story makes a Secret of it.
func (d *demo) storeFile() string { return filepath.Join(d.dir, "store.env") }

// storeVariables name the store in the words of AWS, for the command line, and in those of
// KServe's Secrets, for the agent.
func (d *demo) storeVariables() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + d.store.AccessKey,
		"AWS_SECRET_ACCESS_KEY=" + d.store.SecretKey,
		"AWS_REGION=" + objectstore.Region,
		"AWS_ENDPOINT_URL=" + d.store.Endpoint,
		"S3_ENDPOINT=" + strings.TrimPrefix(d.store.Endpoint, "http://"),
		"S3_USE_HTTPS=0",
	}
}
