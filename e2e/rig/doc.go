// Package rig sets up what an end-to-end test needs: a real control plane, a real Git
// server, and the agent as a process of its own, built from this checkout.
//
//	r := rig.New(t, cluster.Options{})
//	repo := r.Repository("platform", files)
//	r.StartAgent()
//	r.Overlay("shop", "overlays/shop")
//	r.WaitReady("shop")
//
// Everything ends with the test. When a test fails, the end of the agent's log is shown.
package rig
