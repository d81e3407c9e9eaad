package main

import "syscall"

// tether ties a process to this one: it does not hear a Ctrl-C, which is this program's to
// handle, and it does not outlive this program, however that ends.
func tether() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
