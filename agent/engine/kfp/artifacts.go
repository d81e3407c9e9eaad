package kfp

import (
	"context"
	"net/url"
	"strings"
)

// maxArtifact bounds an artifact that is read, in bytes.
const maxArtifact = 1 << 20

// ReadArtifact reads an artifact of a node of a run, such as a result. Kubeflow Pipelines does that for
// runs of the older kind only; the error says so.
func (c *Client) ReadArtifact(ctx context.Context, run, node, name string) ([]byte, error) {
	id, err := part("run", run)
	if err != nil {
		return nil, err
	}
	for what, text := range map[string]string{"a node": node, "an artifact": name} {
		if err := checkName(what, text); err != nil {
			return nil, err
		}
	}
	var answer struct {
		Data []byte `json:"data"`
	}
	err = c.get(ctx, "/runs/"+id+"/nodes/"+url.PathEscape(node)+"/artifacts/"+url.PathEscape(name)+":read", nil, &answer)
	switch {
	case err != nil && strings.Contains(err.Error(), "v2 IR spec is not supported"):
		err = sayf(Invalid, "Kubeflow Pipelines reads no artifacts of v2 runs: let the last step write the result to an object store, and name it in spec.result.artifact")
	case err == nil && len(answer.Data) > maxArtifact:
		err = sayf(Invalid, "it has more than 1 MiB: a result is a small document")
	}
	if err != nil {
		return nil, about(err, "the artifact %s of the run %s", name, id)
	}
	return answer.Data, nil
}
