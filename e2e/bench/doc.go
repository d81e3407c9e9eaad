// Package bench measures what Sluice costs: the agent as a process of its own against a real API
// server and a real Git server over HTTP (package rig).
//
//	make bench                     # all set-ups
//	make bench ONLY=200x5          # one, or several with commas between: 1x1000,history
//
// It prints a table and writes the same as JSON to dist/bench.json. docs/performance.md says what
// the columns are and how to read them.
//
//	bench_test      the set-ups and what is done in each
//	counts_test     the counts, asserted in small: this one runs within make test
//	stage_test      a set-up: a repository that is cut into Overlays, and what can be done to it
//	meter_test      what the agent does between two moments
//	floor_test      the same work by the simplest program that could do it
//	history_test    repositories with many commits and files
//	replicas_test   replicas that share the work
//	platform_test   the whole of Kubeflow
//	models_test     many Models of one agent
//	retrainings_test  many Retrainings of one agent
//	report_test     the table and the JSON
//
// Times are reported and never asserted.
//
// Variables:
//
//	BENCH           the file for the JSON; without it TestBenchmark is skipped
//	ONLY            the set-ups to measure
//	SLUICE_BINARY   the program to measure, instead of one built from this checkout
package bench
