package bench_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what is written as JSON.
type Report struct {
	Time    time.Time `json:"time"`
	Machine Machine   `json:"machine"`
	Results []Result  `json:"results"`
}

// Machine is where it was measured.
type Machine struct {
	Processor  string `json:"processor"`
	Processors int    `json:"processors"`
	// Load is the average number of processes that wanted a processor in the minute before.
	Load   string `json:"load"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

func thisMachine() Machine {
	m := Machine{Processors: runtime.NumCPU(), Go: runtime.Version()}
	cpus, _ := os.ReadFile("/proc/cpuinfo") // what cannot be read stays empty
	for line := range strings.Lines(string(cpus)) {
		if name, is := strings.CutPrefix(line, "model name"); is {
			m.Processor = strings.Trim(name, " \t\n:")
		}
	}
	load, _ := os.ReadFile("/proc/loadavg")
	m.Load, _, _ = strings.Cut(string(load), " ")
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = strings.TrimSpace(string(kernel))
	return m
}

func (r Report) write(file string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}

// table prints the results for people.
func (r Report) table(out io.Writer) {
	fmt.Fprintf(out, "%s, %d x %s, load %s, %s\n\n", r.Time.Format("2006-01-02 15:04"), r.Machine.Processors, r.Machine.Processor, r.Machine.Load, r.Machine.Go)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "set-up\tscenario\tlive\tconverged\tfloor\tratio\tcalls\twrites\tstatus\tevents\tdry\treads\tdisc.\twatches\trenders\tkept\tfetched\tstore\tCPU\tagent\tall\tat rest\t")
	for _, o := range r.Results {
		floor, ratio := "-", "-"
		if o.Floor != nil {
			floor, ratio = seconds(o.Floor.Seconds), fmt.Sprintf("%.1f", o.Ratio)
		}
		c := o.Calls
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%s\t%s\t%s\t%s\t\n",
			o.Setup, o.Scenario, seconds(o.Live), seconds(o.Converged), floor, ratio,
			c.All, c.Writes, c.Status, c.Events, c.DryRuns, c.Reads, c.Discovery, c.Watches,
			o.Renders, o.Kept, size(o.Fetched), o.Store, seconds(o.CPU), size(o.PeakAgent), size(o.PeakAll), size(o.Steady))
	}
	_ = w.Flush() // it is for reading only
}

func seconds(s float64) string {
	switch {
	case s == 0:
		return "-"
	case s < 10:
		return fmt.Sprintf("%.2f s", s)
	default:
		return fmt.Sprintf("%.0f s", s)
	}
}

func size(bytes int64) string {
	switch {
	case bytes == 0:
		return "-"
	case bytes < 10<<10:
		return fmt.Sprintf("%.1f KB", float64(bytes)/1024)
	case bytes < 1<<20:
		return fmt.Sprintf("%d KB", bytes>>10)
	default:
		return fmt.Sprintf("%d MB", bytes>>20)
	}
}
