//go:build race

package render_test

// The race detector's own memory does not fit under the kernel's limit of a worker.
func init() { underRace = true }
