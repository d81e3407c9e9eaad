package kfp

import _ "embed"

// CRDs are the kinds of Kubernetes-native mode, as documents of one YAML file.
//
//go:embed crds.yaml
var CRDs []byte
