package report

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-dev/sluice/agent/plan"
)

// How many characters of the texts of others are shown.
const (
	longestName    = 400
	longestMessage = 500
)

// visible is text on one line, in which nothing is hidden: what does not print, or turns the
// direction of writing, is written as in Go (\u202e). It is cut after so many characters.
func visible(s string, longest int) string {
	var b strings.Builder
	length := 0
	for _, r := range strings.ToValidUTF8(s, "�") {
		shown := string(r)
		if !unicode.IsPrint(r) {
			shown = strings.Trim(strconv.QuoteRuneToASCII(r), "'")
		}
		if length += utf8.RuneCountInString(shown); length > longest {
			b.WriteRune('…')
			break
		}
		b.WriteString(shown)
	}
	return b.String()
}

// code shows text as code, in which forges find no mentions, references and emoji either.
//
// A pipe would end the cell of a table even in code, and what backslashes do to it is not agreed
// on; so it stands between two pieces of code.
func code(s string) string {
	if s == "" {
		return "(empty)"
	}
	return span(visible(s, longestName))
}

func span(s string) string {
	pieces := strings.Split(s, "|")
	for n, piece := range pieces {
		pieces[n] = quoted(piece)
	}
	return strings.Join(pieces, "&#124;")
}

// quoted puts backticks around text, more than it has in a row itself.
func quoted(s string) string {
	if s == "" {
		return ""
	}
	fence := strings.Repeat("`", backticks(s)+1)
	blank := strings.TrimSpace(s) == ""
	if !blank && (s[0] == '`' || s[len(s)-1] == '`' || s[0] == ' ' && s[len(s)-1] == ' ') {
		s = " " + s + " " // of which Markdown takes one away on each side
	}
	return fence + s + fence
}

// backticks is how many there are in a row, at most.
func backticks(s string) int {
	most, row := 0, 0
	for n := range len(s) {
		if s[n] != '`' {
			row = 0
			continue
		}
		row++
		most = max(most, row)
	}
	return most
}

// plain matches words that mean nothing to any forge: no name.tld, no sha, no ABC-123, no :word:.
var plain = regexp.MustCompile(`^[("']{0,2}(` + strings.Join([]string{
	`\p{L}+([-'/]\p{L}+)*`,                      // not-worse, Asia/Seoul
	`[-+]?v?[0-9]+([.,][0-9]+)*(\p{L}{1,3}|%)?`, // v8, +0.003, 5m, 10%
	`([0-9]+(h|m|s|ms|µs))+`,                    // 1h30m
	`[0-9]{2}:[0-9]{2}(:[0-9]{2})?`,             // 12:41:17
	`[0-9]{4}-[0-9]{2}-[0-9]{2}`,                // 2026-11-25
}, "|") + `)[)"'.,;:!?…]{0,3}$`)

// sha matches what may be the id of a commit.
var sha = regexp.MustCompile(`(?i)[0-9a-f]{7}`)

// signs stand alone between words; at the beginning of a line some would make a list.
var signs = map[string]bool{"-": true, "+": true, "=": true, "%": true, "->": true, "→": true, "…": true, "·": true}

// numbered matches what makes a list at the beginning of a line.
var numbered = regexp.MustCompile(`^[0-9]+[.)]$`)

// prose shows a sentence that others wrote, or that has names of theirs in it. Words that could
// mean something to Markdown or to a forge are shown as code.
func prose(s string) string {
	var shown, odd []string
	flush := func() {
		if len(odd) > 0 {
			shown = append(shown, inCode(strings.Join(odd, " ")))
			odd = nil
		}
	}
	length := 0
	for n, word := range strings.Fields(strings.ToValidUTF8(plan.Masked(s), "�")) {
		if length += utf8.RuneCountInString(word) + 1; n > 0 && length > longestMessage {
			flush()
			shown = append(shown, "…")
			break
		}
		if !harmless(word, n == 0) {
			odd = append(odd, word)
			continue
		}
		flush()
		shown = append(shown, word)
	}
	flush()
	return strings.Join(shown, " ")
}

// inCode shows words as code, but for brackets, quotes and stops around them.
func inCode(words string) string {
	core := strings.TrimLeft(words, `("'`)
	before := words[:len(words)-len(core)]
	core = strings.TrimRight(core, `)"'.,;:!?`)
	after := words[len(before)+len(core):]
	if core == "" || len(before)+len(after) > 6 {
		before, core, after = "", words, ""
	}
	return before + span(visible(core, longestMessage)) + after
}

func harmless(word string, first bool) bool {
	if signs[word] {
		return !first
	}
	return plain.MatchString(word) && !sha.MatchString(word) && !strings.Contains(strings.ToLower(word), "www.") && !(first && numbered.MatchString(word))
}

// fenced is a block of code.
func fenced(language string, lines []string) string {
	most := 2
	for _, line := range lines {
		most = max(most, backticks(line))
	}
	fence := strings.Repeat("`", most+1)
	return fence + language + "\n" + strings.Join(lines, "\n") + "\n" + fence + "\n"
}

// table is a table whose columns also line up where it is read as it is.
func table(rows [][]string) string {
	const widest = 80 // of the columns that are filled up
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for n, cell := range row {
			widths[n] = max(widths[n], min(utf8.RuneCountInString(cell), widest), 3)
		}
	}
	var b strings.Builder
	for number, row := range rows {
		for n, cell := range row {
			b.WriteString("| " + cell + strings.Repeat(" ", max(0, widths[n]-utf8.RuneCountInString(cell))) + " ")
		}
		b.WriteString("|\n")
		if number > 0 {
			continue
		}
		for _, width := range widths {
			b.WriteString("| " + strings.Repeat("-", width) + " ")
		}
		b.WriteString("|\n")
	}
	return b.String()
}

// count is a number of things: 1 object, 2 objects.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
