//go:build !linux

package main

import "syscall"

// tether is never called: the control plane, which comes first, refuses to start.
func tether() *syscall.SysProcAttr { return nil }
