// Package manifests is what installs Sluice. Programs get the definitions of Sluice's kinds
// from here, so that they cannot differ from what is installed.
package manifests

import "embed"

// CRDs holds the definitions of Sluice's kinds, one file each below crds.
//
//go:embed crds/sluice.dev_*.yaml
var CRDs embed.FS
