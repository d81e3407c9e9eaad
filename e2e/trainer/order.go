package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sluice-dev/sluice/e2e/bucket"
)

// order is what is to be done.
type order struct {
	data, run place
	version   string
	seed      uint64
}

// place is a prefix in an object store.
type place struct{ bucket, prefix string }

// String is the address.
func (p place) String() string { return "s3://" + p.bucket + "/" + p.prefix }

// readOrder reads it from environment variables.
func readOrder(variable func(string) string) (o order, err error) {
	if o.data, err = readPlace(variable, "DATA_URI"); err != nil {
		return order{}, err
	}
	if o.run, err = readPlace(variable, "RUN_URI"); err != nil {
		return order{}, err
	}
	if o.version = variable("MODEL_VERSION"); o.version == "" {
		return order{}, fmt.Errorf("MODEL_VERSION is not set: set it to what the model is to call itself, such as v8")
	}
	o.seed = 1
	if seed := variable("SEED"); seed != "" {
		if o.seed, err = strconv.ParseUint(seed, 10, 64); err != nil {
			return order{}, fmt.Errorf("SEED is %q: it has to be a whole number", seed)
		}
	}
	return o, nil
}

func readPlace(variable func(string) string, name string) (place, error) {
	uri := variable(name)
	if uri == "" {
		return place{}, fmt.Errorf("%s is not set: set it to a prefix in an object store, such as s3://bucket/fraud/", name)
	}
	in, prefix, err := bucket.Parse(uri)
	if err != nil {
		return place{}, fmt.Errorf("%s: %w", name, err)
	}
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/" // fraud is not fraud-old
	}
	return place{in, prefix}, nil
}
