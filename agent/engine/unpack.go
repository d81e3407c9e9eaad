package engine

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/util/json"
)

// mostNodes is how many bytes the nodes of a Workflow may have once they are unpacked. Argo packs from about 1 MB.
// mostCommas is how many things they may have: in memory each is far more than the two bytes that it can be.
const (
	mostNodes  = 8 << 20
	mostCommas = 500_000
)

// unpack reads what Argo has compressed: JSON in gzip in base64.
func unpack(packed string) (fields, error) {
	reader, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(packed)))
	if err != nil {
		return nil, errors.New("its nodes are compressed in a way that is not known")
	}
	content, err := io.ReadAll(io.LimitReader(reader, mostNodes+1))
	if err != nil {
		return nil, errors.New("its compressed nodes are damaged")
	}
	if len(content) > mostNodes {
		return nil, fmt.Errorf("its nodes have more than %d MiB", mostNodes>>20)
	}
	if bytes.Count(content, []byte(",")) > mostCommas {
		return nil, fmt.Errorf("its nodes have more than %d fields", mostCommas)
	}
	nodes := map[string]any{}
	if err := json.Unmarshal(content, &nodes); err != nil {
		return nil, errors.New("its compressed nodes are no JSON")
	}
	return nodes, nil
}
