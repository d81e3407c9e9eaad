// Package engine starts, watches and stops the runs of retrainings.
package engine
