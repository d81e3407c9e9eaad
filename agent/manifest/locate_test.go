package manifest

import (
	"bytes"
	"slices"
	"testing"

	"github.com/sluice-dev/sluice/agent"
)

const documents = `# a file

apiVersion: apps/v1
kind: Deployment
metadata:
  labels:
    name: b
  name: a
spec:
  containers:
  - name: b
---
# the second
kind: Deployment
metadata: {name: b, namespace: "two"}
--- # the third
kind: "Deployment" # quoted
metadata:
    namespace: three
    name: 'b'
---
metadata:
  name: a
kind: Deployment
spec: [
`

func TestLines(t *testing.T) {
	for _, test := range []struct {
		ref  agent.Ref
		want []int
	}{
		{agent.Ref{Kind: "Deployment", Name: "a"}, []int{3, 22}},
		{agent.Ref{Kind: "Deployment", Name: "a", Namespace: "any"}, []int{3, 22}},
		{agent.Ref{Kind: "Deployment", Name: "b"}, []int{14, 17}},
		{agent.Ref{Kind: "Deployment", Name: "b", Namespace: "three"}, []int{17}},
		{agent.Ref{Kind: "Deployment", Name: "b", Namespace: "four"}, nil},
		{agent.Ref{Kind: "Service", Name: "a"}, nil},
		{agent.Ref{}, nil},
	} {
		for _, file := range []string{documents, string(bytes.ReplaceAll([]byte(documents), []byte("\n"), []byte("\r\n")))} {
			if got := Lines([]byte(file), test.ref); !slices.Equal(got, test.want) {
				t.Errorf("%s: %v, want %v", test.ref, got, test.want)
			}
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte(documents), "Deployment", "a", "two")
	f.Add([]byte("metadata: {name: }\nkind:\n---"), "", "", "")
	f.Fuzz(func(t *testing.T, file []byte, kind, name, namespace string) {
		last := 0
		for _, line := range Lines(file, agent.Ref{Kind: kind, Namespace: namespace, Name: name}) {
			if line <= last || line > bytes.Count(file, []byte("\n"))+1 {
				t.Errorf("line %d after %d", line, last)
			}
			last = line
		}
	})
}
