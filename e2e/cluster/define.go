package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	sigsyaml "sigs.k8s.io/yaml"
)

// Define makes custom kinds from texts with CustomResourceDefinitions (YAML documents). It returns when objects
// of all of them can be written.
func (c *Cluster) Define(ctx context.Context, definitions ...string) error {
	scheme := runtime.NewScheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		return err
	}
	access, err := client.New(c.Config(), client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	kinds, err := definitionsIn(definitions)
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		if err := access.Create(ctx, kind); err != nil {
			return fmt.Errorf("the kind %s: %w", kind.Name, err)
		}
	}
	for _, kind := range kinds {
		if err := awaitEstablished(ctx, access, kind); err != nil {
			return fmt.Errorf("the kind %s: %w", kind.Name, err)
		}
	}
	return nil
}

func definitionsIn(texts []string) (kinds []*apiextensionsv1.CustomResourceDefinition, err error) {
	for _, text := range texts {
		for reader := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text))); ; {
			document, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, err
			}
			var kind apiextensionsv1.CustomResourceDefinition
			if err := sigsyaml.Unmarshal(document, &kind); err != nil {
				return nil, err
			}
			if kind.Name != "" { // more than a comment
				kinds = append(kinds, &kind)
			}
		}
	}
	return kinds, nil
}

// establishTimeout is a hundred times what it takes on a busy machine.
const establishTimeout = 2 * time.Minute

func awaitEstablished(ctx context.Context, access client.Client, kind *apiextensionsv1.CustomResourceDefinition) error {
	ctx, cancel := context.WithTimeout(ctx, establishTimeout)
	defer cancel()
	for {
		if err := access.Get(ctx, client.ObjectKeyFromObject(kind), kind); err != nil {
			return err
		}
		for _, c := range kind.Status.Conditions {
			if c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it was not established in time: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
