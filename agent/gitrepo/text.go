package gitrepo

import (
	"bytes"
	"slices"
	"strings"
)

// mergeText puts the changes together that were made to a text on two sides, line by line. What was
// changed in the same way is taken once. False is for changes that overlap or touch each other: what
// should become of those lines is for people to say. It is also for what is no text, and for what takes
// more than the effort that is left.
func mergeText(base, ours, theirs []byte, effort *int) ([]byte, bool) {
	numbers := map[string]int{}
	var texts [3][]string
	var lines [3][]int
	for i, text := range [][]byte{base, ours, theirs} {
		if bytes.IndexByte(text, 0) >= 0 {
			return nil, false
		}
		for line := range strings.Lines(string(text)) {
			n, known := numbers[line]
			if !known {
				n = len(numbers)
				numbers[line] = n
			}
			texts[i] = append(texts[i], line)
			lines[i] = append(lines[i], n)
		}
	}
	our, ok := differences(lines[0], lines[1], effort)
	if !ok {
		return nil, false
	}
	their, ok := differences(lines[0], lines[2], effort)
	if !ok {
		return nil, false
	}
	var merged strings.Builder
	take := func(text []string) {
		for _, line := range text {
			merged.WriteString(line)
		}
	}
	done := 0 // lines of the base
	for len(our) > 0 || len(their) > 0 {
		change := nextChange(&our, &their)
		take(texts[0][done:change.from])
		mine, others := change.of(texts[1], change.our), change.of(texts[2], change.their)
		switch {
		case len(change.our) == 0:
			take(others)
		case len(change.their) == 0 || slices.Equal(mine, others):
			take(mine)
		default:
			return nil, false
		}
		done = change.to
	}
	take(texts[0][done:])
	return []byte(merged.String()), true
}

// textChange is what became of some lines of the base on each side.
type textChange struct {
	from, to   int
	our, their []hunk
}

// nextChange takes those hunks off both lists that come first and touch each other.
func nextChange(our, their *[]hunk) textChange {
	var c textChange
	switch {
	case len(*our) == 0:
		c.from = (*their)[0].from
	case len(*their) == 0:
		c.from = (*our)[0].from
	default:
		c.from = min((*our)[0].from, (*their)[0].from)
	}
	c.to = c.from
	add := func(from, to *[]hunk) bool {
		if len(*from) == 0 || (*from)[0].from > c.to {
			return false
		}
		c.to = max(c.to, (*from)[0].to)
		*to = append(*to, (*from)[0])
		*from = (*from)[1:]
		return true
	}
	for add(our, &c.our) || add(their, &c.their) {
	}
	return c
}

// of returns the lines of a side, given its hunks.
func (c textChange) of(text []string, hunks []hunk) []string {
	if len(hunks) == 0 {
		return nil
	}
	first, last := hunks[0], hunks[len(hunks)-1]
	return text[first.newFrom-(first.from-c.from) : last.newTo+(c.to-last.to)]
}
