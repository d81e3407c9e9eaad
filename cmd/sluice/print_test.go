package main

import (
	"strings"
	"testing"
)

// Only the last cell of a line is cut, and only where a terminal is that narrow.
func TestTableWidth(t *testing.T) {
	rows := [][]string{{"NAME", "MESSAGE"}, {"kubeflow", "one two three four five six seven eight"}}
	for _, test := range []struct {
		name  string
		width int
		last  string
	}{
		{"a pipe", 0, "kubeflow   one two three four five six seven eight"},
		{"wide enough", 50, "kubeflow   one two three four five six seven eight"},
		{"too narrow", 40, "kubeflow   one two three four five six …"},
		{"much too narrow", 12, "kubeflow   one two three four …"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			if err := (&table{out: &out, width: test.width}).rows(rows); err != nil {
				t.Fatal(err)
			}
			if got := strings.Split(out.String(), "\n")[1]; got != test.last {
				t.Errorf("printed %q, want %q", got, test.last)
			}
		})
	}
}
