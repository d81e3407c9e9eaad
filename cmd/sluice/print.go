package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"golang.org/x/term"
	"sigs.k8s.io/yaml"
)

// table prints rows in columns. It can be written row by row: the width of a column is what
// the widest cell so far takes.
type table struct {
	out    io.Writer
	color  bool
	widths []int
	// width of a line: what the last cell has too much is cut. 0 for as wide as it takes.
	width int
}

// rows prints rows that are known together.
func (t *table) rows(rows [][]string) error {
	for _, row := range rows {
		t.measure(row)
	}
	for _, row := range rows {
		if err := t.row(row); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) measure(row []string) {
	for n, cell := range row {
		if n == len(t.widths) {
			t.widths = append(t.widths, 0)
		}
		t.widths[n] = max(t.widths[n], utf8.RuneCountInString(cell))
	}
}

// row prints one more row.
func (t *table) row(row []string) error {
	t.measure(row)
	var line strings.Builder
	room := t.width
	for n, cell := range row {
		if t.width > 0 && n == len(row)-1 {
			cell = shorten(cell, max(room, leastRoom))
		}
		line.WriteString(paint(t.color, cell))
		room -= t.widths[n] + 3
		if n < len(row)-1 {
			line.WriteString(strings.Repeat(" ", t.widths[n]-utf8.RuneCountInString(cell)+3))
		}
	}
	_, err := fmt.Fprintln(t.out, strings.TrimRight(line.String(), " "))
	return err
}

// leastRoom is what a last cell gets on a narrow terminal all the same.
const leastRoom = 20

// terminalWidth is the width of a terminal; 0 for what is none: a pipe gets everything.
func terminalWidth(out io.Writer) int {
	f, ok := out.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// Colors of a terminal.
const (
	red, green, yellow, plain = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"
)

// colors says which words are painted.
var colors = map[string]string{
	"True": green, "Healthy": green, "Succeeded": green,
	"False": red, "Degraded": red, "Missing": red, "Failed": red,
	"Unknown": yellow, "Suspended": yellow, "Progressing": yellow, "Deleting": yellow, "Terminating": yellow,
}

func paint(color bool, word string) string {
	if c := colors[word]; color && c != "" {
		return c + word + plain
	}
	return word
}

// colorful tells whether colors are wanted: on a terminal, unless $NO_COLOR is set.
func colorful(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}

// oneLine makes a text from the cluster or from Git fit for a terminal: on one line, and
// without control characters, which could rewrite what was printed before.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '\uFFFD'
		}
		return r
	}, text)
}

// shorten cuts a text for a table.
func shorten(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}

// count is a number of things: 1 object, 2 objects.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprint(n, " ", thing)
}

// age is the time between two moments in kubectl's words.
func age(at metav1.Time, now time.Time) string {
	if at.IsZero() {
		return ""
	}
	return duration.HumanDuration(max(now.Sub(at.Time), 0))
}

// outputFlag gives a command the flag -o with the formats it knows.
func outputFlag(cmd *cobra.Command, into *string, formats ...string) {
	cmd.Flags().StringVarP(into, "output", "o", *into, "Output format: "+strings.Join(formats, ", ")+".")
	must(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)))
	inner := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if *into != "" && !slices.Contains(formats, *into) {
			return fmt.Errorf("there is no output format %q: use one of %s", *into, strings.Join(formats, ", "))
		}
		if inner != nil {
			return inner(cmd, args)
		}
		return nil
	}
}

// encode prints a value as YAML or as indented JSON.
func encode(out io.Writer, format string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if format == "yaml" {
		if text, err = yaml.JSONToYAML(text); err != nil {
			return err
		}
	}
	_, err = out.Write(text)
	return err
}
