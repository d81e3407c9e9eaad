package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// width is how many columns of a terminal are used.
const width = 118

// row is a line about something that was set up.
func row(name, note string, took time.Duration) {
	fmt.Printf("   %-14s %5.1fs  %s\n", name, took.Seconds(), note)
}

// line is one about an Overlay or a stage: when, which, how it stands, and why.
func line(when, overlay, phase, message string) {
	columns := fmt.Sprintf("   %s  %-19s  %-9s  ", when, overlay, phase)
	fmt.Println(columns + brief(message, width-len(columns)))
}

// say prints a paragraph.
func say(format string, arguments ...any) {
	for _, line := range wrap(fmt.Sprintf(format, arguments...), width-3) {
		fmt.Println("   " + line)
	}
}

// show prints the output of a command as it is.
func show(output string) {
	for line := range strings.Lines(output) {
		fmt.Println(strings.TrimRight("     "+line, " \n"))
	}
}

// showCut prints the output of a command, and of each line what there is room for.
func showCut(output string) {
	for line := range strings.Lines(output) {
		line = brief(line, width-5)
		if whole, cut := strings.CutSuffix(line, " …"); cut { // between two columns
			line = whole
		}
		fmt.Println(strings.TrimRight("     "+line, " "))
	}
}

// showWrapped prints the output of a command. What there is no room for in a line goes into the next.
func showWrapped(output string) {
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, " \n")
		further := strings.Repeat(" ", len(line)-len(strings.TrimLeft(line, " "))+4)
		for room := width - 5; len(line) > room; {
			end := strings.LastIndex(line[:room], " ")
			if end <= len(further) {
				break // it is one word
			}
			fmt.Println("     " + strings.TrimRight(line[:end], " "))
			line = further + strings.TrimLeft(line[end:], " ")
		}
		fmt.Println("     " + line)
	}
}

// brief is the first line of a message, cut to a number of columns.
func brief(message string, room int) string {
	message, _, _ = strings.Cut(message, "\n")
	if letters := []rune(message); len(letters) > room {
		return string(letters[:room-1]) + "…"
	}
	return message
}

// wrap breaks a text into lines at spaces. A word that is longer has a line of its own.
func wrap(text string, columns int) []string {
	var lines []string
	for paragraph := range strings.Lines(text) {
		line := ""
		for _, word := range strings.Fields(paragraph) {
			if line != "" && len([]rune(line+" "+word)) > columns {
				lines, line = append(lines, line), ""
			}
			line = strings.TrimPrefix(line+" "+word, " ")
		}
		lines = append(lines, line)
	}
	return lines
}

// progress prints what a long build says of itself, under the name of its row.
type progress struct{ name string }

func (p progress) Write(text []byte) (int, error) {
	for line := range strings.Lines(string(bytes.TrimSpace(text))) {
		fmt.Printf("   %-14s   …     %s\n", p.name, strings.TrimSpace(line))
	}
	return len(text), nil
}

// patient says every ten seconds that something still goes on, until stopped.
func patient(name, what string) (stop func()) {
	began, done, ended := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(10 * time.Second):
				fmt.Fprintf(progress{name}, "%s: %s", what, time.Since(began).Round(time.Second))
			}
		}
	}()
	return func() { close(done); <-ended }
}
