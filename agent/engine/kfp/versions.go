package kfp

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	versionPrefix = "sha256-"
	// versionDigits is how much of a digest is in a name: enough that nobody finds another content of
	// the same name, and short enough for the names of Kubernetes.
	versionDigits = 32
)

// ours are the names that versions have of their contents.
var ours = regexp.MustCompile(`^sha256-[0-9a-f]{32}$`)

// Pipeline is one that is in Kubeflow Pipelines.
type Pipeline struct{ ID, Namespace, Name string }

// Version is one of a pipeline.
type Version struct {
	ID, PipelineID, Name string
	CreatedAt            time.Time
}

// stale are the versions that go: those named by their content, but for the ones in use, by their ids or
// names, and the newest of the others. What people have uploaded by another name is theirs.
func stale(versions []Version, keep int, inUse []string) []Version {
	old := slices.DeleteFunc(slices.Clone(versions), func(v Version) bool {
		return !ours.MatchString(v.Name) || slices.Contains(inUse, v.ID) || slices.Contains(inUse, v.Name)
	})
	slices.SortFunc(old, func(a, b Version) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return old[min(max(keep, 0), len(old)):]
}
