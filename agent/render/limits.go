package render

import "time"

// Limits bound one render.
type Limits struct {
	// Memory in bytes of a worker's heap.
	Memory int64
	// Time of one render.
	Time time.Duration
	// Long is the time from which on a render has to make room for others, and may be put off for
	// it. Zero: it never has to.
	Long time.Duration
	// Output in bytes of JSON.
	Output int64
	// Objects in a set.
	Objects int
}

// DefaultLimits fit the whole Kubeflow platform (683 objects, 12 MB) several times over: a
// worker that renders it takes 0.6 GiB at most. See TestPlatformFitsAWorker.
func DefaultLimits() Limits {
	return Limits{Memory: 3 << 30, Time: 3 * time.Minute, Output: 256 << 20, Objects: 50_000}
}
