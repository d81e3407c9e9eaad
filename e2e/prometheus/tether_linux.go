package prometheus

import "syscall"

// tether ties a process to the thread that starts it: it does not hear a Ctrl-C, and it does not
// outlive this program, however that ends.
func tether() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
