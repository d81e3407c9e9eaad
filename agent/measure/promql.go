package measure

import (
	"fmt"
	"regexp"
	"strings"
)

// fillQuery fills variables into a PromQL query.
func fillQuery(query string, vars Variables) (string, error) {
	return expand(query, vars, func(before, name, value string) (string, error) {
		p := placeAfter(before)
		filled, ok := p.fit(value)
		if !ok {
			return "", fmt.Errorf("${%s} is %q here, which cannot stand %s: put it between double quotes", name, printable(value), p)
		}
		return filled, nil
	})
}

// place is where in a query something stands.
type place struct {
	quote   byte // the one that begins the string; 0 outside of strings
	regex   bool // the string is what =~ or !~ matches
	comment bool
}

// placeAfter finds the place after a part of a query, by the rules of PromQL's own lexer.
func placeAfter(part string) place {
	var p place
	for i := 0; i < len(part); i++ {
		c := part[i]
		switch {
		case p.comment:
			p.comment = c != '\n' && c != '\r'
		case p.quote == 0 && c == '#':
			p.comment = true
		case p.quote == 0 && (c == '"' || c == '\'' || c == '`'):
			operator := strings.TrimRight(part[:i], " \t\r\n")
			p.quote, p.regex = c, strings.HasSuffix(operator, "=~") || strings.HasSuffix(operator, "!~")
		case p.quote != 0 && p.quote != '`' && c == '\\':
			i++ // what follows is escaped
		case c == p.quote:
			p = place{}
		}
	}
	return p
}

func (p place) String() string {
	if p.quote == '`' {
		return "between backquotes"
	}
	return "outside of quotes"
}

// plain is what changes nothing of a query wherever it stands.
var plain = regexp.MustCompile(`^[A-Za-z0-9_:]+$`)

// fit makes a value one that is nothing but a value at this place. It tells if there is none.
func (p place) fit(value string) (string, bool) {
	if p.quote == 0 {
		return value, plain.MatchString(value)
	}
	if p.regex {
		value = regexp.QuoteMeta(value)
	}
	if p.quote == '`' { // knows no escapes; but a regular expression does
		if p.regex {
			value = strings.ReplaceAll(value, "`", `\x60`)
		}
		return value, !strings.Contains(value, "`")
	}
	return escape(value), true
}

// escape writes what could end a PromQL string, or is no letter, as a byte.
func escape(value string) string {
	var b strings.Builder
	for _, c := range []byte(value) {
		if c == '\\' || c == '"' || c == '\'' || c < ' ' || c == 0x7f {
			fmt.Fprintf(&b, `\x%02x`, c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
