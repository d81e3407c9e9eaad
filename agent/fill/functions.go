package fill

import (
	"fmt"
	"regexp"
	"strings"
	"text/template"
)

// allowed are the functions that templates may call. Those that are left out can make long texts of
// short ones (js doubles what it is given), or call what they find.
var allowed = strings.Fields("and or not eq ne lt le gt ge len index slice print printf")

// functions take the place of those that make texts, within bounds.
var functions = template.FuncMap{"print": bounded, "printf": boundedFormat}

func bounded(args ...any) (string, error) {
	if err := printable(args); err != nil {
		return "", err
	}
	return short(fmt.Sprint(args...))
}

// wide finds what lets a format make more of its arguments than is there: widths of four digits, widths
// that are arguments, and arguments that are used again.
var wide = regexp.MustCompile(`%[-+# 0-9.]*(\d{4}|[*\[])`)

func boundedFormat(format string, args ...any) (string, error) {
	if wide.MatchString(format) {
		return "", fmt.Errorf("the format %s has a width above 999, a * or a [", quoted(format))
	}
	if err := printable(args); err != nil {
		return "", err
	}
	return short(fmt.Sprintf(format, args...))
}

// printable tells whether arguments are texts, numbers and the like, and not too long together.
func printable(args []any) error {
	size := 0
	for _, arg := range args {
		switch arg := arg.(type) {
		case string:
			size += len(arg)
		case bool, int, int32, int64, uint8, float64, moment:
		default:
			return fmt.Errorf("only texts, numbers, times, true and false can be printed")
		}
	}
	if size > longestResult {
		return errTooLong
	}
	return nil
}

func short(text string) (string, error) {
	if len(text) > longestResult {
		return "", errTooLong
	}
	return text, nil
}
