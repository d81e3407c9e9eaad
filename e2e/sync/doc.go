// Package sync holds the scenarios of sync, from a commit to a healthy cluster: the agent as a
// process of its own against a real control plane and a real Git server (package rig).
//
//	overlay_test      what an Overlay can ask for: transformations, substitution, accounts,
//	                  dependencies, pruning, drift, ignored fields, health, history
//	source_test       what a Repository can be: every way to be let in, every kind of
//	                  reference, force pushes, outages, servers that hang
//	badinput_test     what can be wrong with a commit, an object or an API: the neighbour goes
//	                  on, nothing is lost, and the commit that mends it is applied
//	admission_test    webhooks that judge, and one that hangs
//	kinds_test        kinds that come, change and go while the agent runs
//	follow_test       ConfigMaps and Secrets that variables come from
//	renders_test      what is rendered is what changed, also after a restart
//	restart_test      a second replica takes over; a namespace goes while no agent runs
//	crash_test        the agent is killed at random moments over a sequence of commits
//	platform_test     the whole of Kubeflow as one Overlay
//	components_test   the same as an Overlay for each component, and the everyday life of
//	                  such a repository
//
// Most scenarios share one control plane and one agent, and each has a namespace of its own.
// Those that break things for everybody, and those that count requests, have their own.
//
// One scenario, or one case of it:
//
//	go test ./e2e/sync -count=1 -v -run TestDrift
//	go test ./e2e/sync -count=1 -v -run TestBadCommit/invalid_YAML
//
// The control plane is built before the first test, which takes minutes the first time. A test
// that fails shows the end of the agent's log.
//
// Variables:
//
//	SLUICE_BINARY      the program to test, instead of one built from this checkout
//	SLUICE_SEED        the seed of TestKilledAtRandomMoments, which logs the one it used
//	SLUICE_E2E_LARGE   if set, TestManyObjects has 20,000 objects instead of 2,000
//	SLUICE_CACHE       where built control planes are kept
//
// The platform is read from ../shared/kubeflow/platform.tar.gz, beside the checkout; without
// it those tests are skipped.
package sync
