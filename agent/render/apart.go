package render

import "syscall"

// apart puts a worker into a process group of its own, so that a Ctrl-C at the terminal
// reaches the agent first.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
