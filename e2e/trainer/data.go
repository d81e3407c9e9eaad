package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/e2e/bucket"
	"github.com/sluice-dev/sluice/e2e/trainer/logistic"
)

// maxData bounds all files together, in bytes: they are kept in memory.
const maxData = 64 << 20

// data is what there is to train with.
type data struct {
	logistic.Table
	from        place
	fingerprint string // of the names and the content of all files
}

// gather reads all rows below a prefix, file by file in the order of their names.
func gather(ctx context.Context, store bucket.Store, from place) (data, error) {
	list, err := store.List(ctx, from.bucket, from.prefix)
	if err != nil {
		return data{}, fmt.Errorf("listing %s: %w", from, err)
	}
	all, sum, room := data{from: from}, sha256.New(), int64(maxData)
	for _, object := range list {
		if strings.HasSuffix(object.Key, "/") {
			continue // the marker of a directory
		}
		if room -= object.Size; room < 0 {
			return data{}, fmt.Errorf("the files below %s have more than %d MiB: it trains in memory", from, maxData>>20)
		}
		content, err := store.Get(ctx, from.bucket, object.Key, object.Size)
		if err != nil {
			return data{}, fmt.Errorf("reading s3://%s/%s: %w", from.bucket, object.Key, err)
		}
		name := strings.TrimPrefix(object.Key, from.prefix)
		table, err := logistic.Read(name, bytes.NewReader(content))
		if err != nil {
			return data{}, fmt.Errorf("%s: %w", from, err)
		}
		if err := all.Join(table); err != nil {
			return data{}, fmt.Errorf("%s%s: %w", from, name, err)
		}
		fmt.Fprintf(sum, "%x  %s\n", sha256.Sum256(content), name)
	}
	if all.Columns == nil {
		return data{}, fmt.Errorf("there are no files below %s", from)
	}
	all.fingerprint = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return all, nil
}

// String says what a model was trained with.
func (d data) String() string {
	return fmt.Sprintf("%s, %d rows, %s", d.from, len(d.Rows), d.fingerprint)
}
