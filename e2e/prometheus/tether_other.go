//go:build !linux

package prometheus

import "syscall"

// tether is the next best thing where the kernel cannot tie processes together.
func tether() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
