package proposal

import (
	"bytes"
	"fmt"
	"strings"
)

// around is how many lines a diff shows before and after what changes.
const around = 3

// diff is a unified diff of one change in a file. It shows no line of another YAML document
// than that of the change: what is next to it may be a Secret.
func diff(path string, before, after []byte) string {
	a, b := lines(before), lines(after)
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	end := 0 // how many lines are the same at the end
	for end < min(len(a), len(b))-same && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	from, to := same, len(a)-end
	for from > 0 && same-from < around && !separates(a[from-1]) {
		from--
	}
	for to < len(a) && to-(len(a)-end) < around && (to == len(a)-end || !separates(a[to-1])) {
		to++
	}
	grown := len(b) - len(a)
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n@@ -%d,%d +%d,%d @@\n", quoted("a/"+path), quoted("b/"+path), from+1, to-from, from+1, to-from+grown)
	show := func(sign string, list []string) {
		for _, line := range list {
			out.WriteString(sign + line)
			if !strings.HasSuffix(line, "\n") {
				out.WriteString("\n\\ No newline at end of file\n")
			}
		}
	}
	show(" ", a[from:same])
	show("-", a[same:len(a)-end])
	show("+", b[same:len(b)-end])
	show(" ", a[len(a)-end:to])
	return out.String()
}

func lines(text []byte) []string {
	var list []string
	for line := range bytes.Lines(text) {
		list = append(list, string(line))
	}
	return list
}

// separates tells whether a line stands between two documents.
func separates(line string) bool { return strings.HasPrefix(line, "---") }

// quoted is a path as git writes it into a diff.
func quoted(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			fmt.Fprintf(&b, "\\%03o", c)
		} else {
			b.WriteByte(c)
		}
	}
	if b.Len() == len(path) {
		return path
	}
	return `"` + b.String() + `"`
}
