package render

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// shortest is the length from which on a value counts as a secret.
const shortest = 3

// withoutSecrets takes out of a message whatever is a secret in the files that were read.
// Kustomize prints parts of objects and of configurations here and there.
func (f *files) withoutSecrets(message string, spec Spec) string {
	var secrets []string
	add := func(values ...string) {
		for _, value := range values {
			for _, text := range append(strings.Split(value, "\n"), value) {
				if text = strings.TrimSpace(text); len(text) >= shortest {
					secrets = append(secrets, text)
				}
			}
		}
	}
	if spec.Substitute != nil {
		for _, value := range spec.Substitute.Variables {
			add(value)
		}
	}
	for _, file := range f.distinct() {
		data, err := f.tree.ReadFile(file)
		switch {
		case err != nil:
		case isKustomization(file):
			add(generatedSecrets(data)...)
		case f.opaque[file]:
			add(string(data))
			for line := range strings.Lines(string(data)) {
				_, value, _ := strings.Cut(line, "=")
				add(value)
			}
		case bytes.Contains(data, []byte("Secret")):
			add(secretValues(data)...)
		}
	}
	// The longest first: one secret may be a part of another.
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	for _, secret := range slices.Compact(secrets) {
		message = strings.ReplaceAll(message, secret, "***")
	}
	return message
}

// generatedSecrets are the values that a kustomization itself gives to Secrets.
func generatedSecrets(data []byte) []string {
	var k types.Kustomization
	if err := k.Unmarshal(data); err != nil {
		return nil
	}
	var values []string
	for _, g := range k.SecretGenerator {
		for _, literal := range g.LiteralSources {
			_, value, found := strings.Cut(literal, "=")
			if !found {
				value = literal
			}
			values = append(values, value, strings.Trim(value, `"'`))
		}
	}
	return values
}

// secretValues are the values of the Secrets in a file, also as they are without base64.
func secretValues(data []byte) []string {
	var values []string
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var object struct {
			Kind       string
			Data       map[string]string
			StringData map[string]string `yaml:"stringData"`
		}
		var document yaml.Node
		if decoder.Decode(&document) != nil {
			return values
		}
		if document.Decode(&object) != nil || object.Kind != "Secret" {
			continue
		}
		for _, value := range object.StringData {
			values = append(values, value)
		}
		for _, value := range object.Data {
			values = append(values, value)
			if plain, err := base64.StdEncoding.DecodeString(value); err == nil {
				values = append(values, string(plain))
			}
		}
	}
}
