package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-dev/sluice/e2e/objectstore"
)

// bucket is where the training puts models.
const bucket = "models"

// trained are the artifacts of the versions of the model churn.
var trained = map[string]string{
	oldVersion:  `{"intercept": -1.20, "coefficients": {"months": -0.031, "complaints": 0.44}}`,
	goodVersion: `{"intercept": -1.32, "coefficients": {"months": -0.029, "complaints": 0.51}}`,
	badVersion:  `{"intercept": -1.41, "coefficients": {"months": -0.027, "complaints": 0.58}}`,
}

// startStore starts an object store, which the first time means to build it, and puts into it
// what a training leaves.
func (d *demo) startStore(ctx context.Context) (string, error) {
	var err error
	if d.store, err = objectstore.Start(ctx, objectstore.Options{Dir: filepath.Join(d.dir, "store"), Progress: progress{"object store"}}); err != nil {
		return "", err
	}
	if err := d.store.CreateBucket(ctx, bucket); err != nil {
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
