package measure

import (
	"regexp"
	"strconv"
	"strings"
)

// number is a number as JSON and Prometheus write it.
var number = regexp.MustCompile(`^([-+]?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([-+]?[0-9]{1,4}))?$`)

// Bounds of numbers that are taken: more than a float64 can be or can tell apart.
const (
	maxNumber   = 400 // characters, without an exponent
	maxExponent = 400
)

// decimal writes a number as a decimal, digit by digit: without an exponent, and without
// zeros that say nothing. It tells if it is none that can be taken.
func decimal(text string) (string, bool) {
	parts := number.FindStringSubmatch(text)
	if parts == nil {
		return "", false
	}
	sign, whole, fraction := parts[1], parts[2], parts[3]
	exponent, err := strconv.Atoi(orZero(parts[4]))
	if err != nil || exponent < -maxExponent || exponent > maxExponent || len(text) > maxNumber {
		return "", false
	}
	whole, fraction = shift(whole, fraction, exponent)
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	switch {
	case whole == "" && fraction == "":
		return "0", true
	case whole == "":
		whole = "0"
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	written := strings.TrimPrefix(sign, "+") + whole + fraction
	return written, len(written) <= maxNumber
}

// shift moves the point of a decimal to the right, or to the left if by is negative.
func shift(whole, fraction string, by int) (string, string) {
	if by >= 0 {
		fraction += strings.Repeat("0", max(by-len(fraction), 0))
		return whole + fraction[:by], fraction[by:]
	}
	whole = strings.Repeat("0", max(-by-len(whole), 0)) + whole
	return whole[:len(whole)+by], whole[len(whole)+by:] + fraction
}

func orZero(text string) string {
	if text == "" {
		return "0"
	}
	return text
}
