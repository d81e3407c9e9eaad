package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Resident returns the bytes of memory that the agent and its render workers have together, each
// page once, as a container's memory is counted; 0 when the agent does not run.
func (r *Rig) Resident() int64 {
	if r.agent.command == nil {
		return 0
	}
	var sum int64
	for _, pid := range append(children(r.agent.command.Process.Pid), r.agent.command.Process.Pid) {
		sum += proportional(pid)
	}
	return sum
}

// proportional reads the memory of a process, in which a page that n processes share counts for an
// nth; 0 if it has ended.
func proportional(pid int) int64 {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for line := range strings.Lines(string(data)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "Pss: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}

// children returns the processes that a process has started and that have not ended.
func children(pid int) []int {
	var pids []int
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // fails on a bad pattern only
	for _, file := range threads {
		list, _ := os.ReadFile(file) // the thread may have ended
		for _, field := range strings.Fields(string(list)) {
			var child int
			if n, _ := fmt.Sscan(field, &child); n == 1 {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// Usage is what the agent and its render workers take from the machine.
type Usage struct {
	CPU   time.Duration // so far, of workers that have ended too
	Agent int64         // bytes resident now, of the agent itself
	All   int64         // and with its workers; a page that they share counts for each
}

// Usage returns what the agent's processes use. A worker that ends just now is left out, and so
// is everything when the agent does not run.
func (r *Rig) Usage() Usage {
	if r.agent.command == nil {
		return Usage{}
	}
	agent := r.agent.command.Process.Pid
	own, _ := stat(agent) // zero when it has just ended
	sum := Usage{CPU: own.cpu + own.ended, Agent: own.resident, All: own.resident}
	for _, pid := range children(agent) {
		if worker, ok := stat(pid); ok {
			sum.CPU += worker.cpu + worker.ended
			sum.All += worker.resident
		}
	}
	return sum
}

type processStat struct {
	cpu, ended time.Duration // of the process, and of its children that have ended
	resident   int64
}

// stat reads /proc/PID/stat; see proc(5).
func stat(pid int) (processStat, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return processStat{}, false
	}
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // a name may have spaces; the state is next
	number := func(n int) (value int64) {
		if n-3 < len(fields) {
			_, _ = fmt.Sscan(fields[n-3], &value)
		}
		return value
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 wherever Go runs
	return processStat{
		cpu:      time.Duration(number(14)+number(15)) * tick,
		ended:    time.Duration(number(16)+number(17)) * tick,
		resident: number(24) * int64(os.Getpagesize()),
	}, true
}

// ForgetMemory has Memory begin anew: the peak is that since now.
func (r *Rig) ForgetMemory() {
	r.T.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", r.agent.command.Process.Pid), []byte("5"), 0); err != nil {
		r.T.Fatal(err)
	}
}
