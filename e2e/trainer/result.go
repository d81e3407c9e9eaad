package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/sluice-dev/sluice/e2e/bucket"
	"github.com/sluice-dev/sluice/e2e/trainer/logistic"
)

// model is model.json. The columns are for people: the model server goes by the order of weights.
type model struct {
	Version string    `json:"version"`
	Link    string    `json:"link"`
	Columns []string  `json:"columns"`
	Weights []float64 `json:"weights"`
	Bias    float64   `json:"bias"`
}

// document is result.json.
type document struct {
	URI     string            `json:"uri"`
	Digest  string            `json:"digest"`
	Size    int64             `json:"size"`
	Format  format            `json:"format"`
	Metrics map[string]string `json:"metrics"`
	Dataset string            `json:"dataset"`
}

type format struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// made is what a run has made.
type made struct {
	model []byte
	said  document
}

// train trains with a part of the rows, and measures with the rest.
func (o order) train(rows data) (made, error) {
	training, held := rows.Split(o.seed)
	trained, err := logistic.Train(training.Rows)
	if err != nil {
		return made{}, fmt.Errorf("%s: %w", o.data, err)
	}
	metrics, err := trained.Measure(held.Rows)
	if err != nil {
		return made{}, fmt.Errorf("%s: %w", o.data, err)
	}
	content, err := json.Marshal(model{o.version, "logistic", rows.Columns, trained.Weights, trained.Bias})
	if err != nil {
		return made{}, err
	}
	sum := sha256.Sum256(content)
	return made{content, document{
		URI:     o.run.String() + "model.json",
		Digest:  "sha256:" + hex.EncodeToString(sum[:]),
		Size:    int64(len(content)),
		Format:  format{"logistic", "1"},
		Metrics: map[string]string{"accuracy": decimal(metrics.Accuracy), "logloss": decimal(metrics.LogLoss), "auc": decimal(metrics.AUC)},
		Dataset: rows.String(),
	}}, nil
}

func decimal(x float64) string { return strconv.FormatFloat(x, 'f', 4, 64) }

// write writes the model, and then the result.
func (m made) write(ctx context.Context, store bucket.Store, to place) error {
	text, err := json.MarshalIndent(m.said, "", "  ")
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name    string
		content []byte
	}{{"model.json", m.model}, {"result.json", append(text, '\n')}} {
		if err := store.Put(ctx, to.bucket, to.prefix+file.name, file.content); err != nil {
			return fmt.Errorf("writing %s%s: %w", to, file.name, err)
		}
	}
	return nil
}
