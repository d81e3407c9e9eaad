package decimal

import (
	"errors"
	"fmt"
	"math/big"
	"regexp"
)

// Decimal is an exact number. Its zero value is 0. It is never written to, so it may be copied
// and used from several goroutines.
type Decimal struct {
	rat *big.Rat // nil stands for 0
}

const (
	// longest is how many characters a number may have: as many as the smallest float64 needs
	// without an exponent, which is how Prometheus writes it.
	longest = 400
	// largest is how many bits the numerator and the denominator of a result may have. The product
	// of four of the largest numbers that Parse reads is too large.
	largest = 1 << 14
)

// form is what the CRD of ModelVersions allows for metrics.
var form = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?$`)

// Errors of calculations.
var (
	// ErrDivision: the divisor is 0.
	ErrDivision = errors.New("it divides by zero")
	// ErrTooLarge: the result has too many digits.
	ErrTooLarge = errors.New("it comes to a number with too many digits")
)

// Parse reads a number such as 0.941, -12 or 1.5e-7. Its error goes on with a sentence whose
// subject is what was read: `is "NaN", which is no decimal number`.
func Parse(text string) (Decimal, error) {
	if len(text) > longest {
		return Decimal{}, fmt.Errorf("is longer than the %d characters that a number may have", longest)
	}
	if !form.MatchString(text) {
		return Decimal{}, fmt.Errorf("is %s, which is no decimal number", quoted(text))
	}
	rat, ok := new(big.Rat).SetString(text)
	if !ok {
		return Decimal{}, fmt.Errorf("is %s, which is no decimal number", quoted(text))
	}
	return Decimal{rat}, nil
}

// quoted shows text that somebody else wrote.
func quoted(text string) string {
	const enough = 40
	if len(text) > enough {
		return fmt.Sprintf("%q…", text[:enough])
	}
	return fmt.Sprintf("%q", text)
}

// Of is a whole number.
func Of(n int64) Decimal { return Decimal{new(big.Rat).SetInt64(n)} }

var zero = new(big.Rat)

func (d Decimal) value() *big.Rat {
	if d.rat == nil {
		return zero
	}
	return d.rat
}

// Cmp is -1 where d is less than other, 0 where it is the same, and 1 where it is more.
func (d Decimal) Cmp(other Decimal) int { return d.value().Cmp(other.value()) }

// Equal tells whether two numbers are the same. It is cheaper than Cmp for long ones.
func (d Decimal) Equal(other Decimal) bool {
	a, b := d.value(), other.value()
	return a.Num().Cmp(b.Num()) == 0 && a.Denom().Cmp(b.Denom()) == 0
}

// Neg is the number with the other sign.
func (d Decimal) Neg() Decimal { return Decimal{new(big.Rat).Neg(d.value())} }

// Add is the sum.
func (d Decimal) Add(other Decimal) (Decimal, error) {
	return bounded(new(big.Rat).Add(d.value(), other.value()))
}

// Sub is the difference.
func (d Decimal) Sub(other Decimal) (Decimal, error) {
	return bounded(new(big.Rat).Sub(d.value(), other.value()))
}

// Mul is the product.
func (d Decimal) Mul(other Decimal) (Decimal, error) {
	return bounded(new(big.Rat).Mul(d.value(), other.value()))
}

// Quo is the quotient.
func (d Decimal) Quo(other Decimal) (Decimal, error) {
	if other.value().Sign() == 0 {
		return Decimal{}, ErrDivision
	}
	return bounded(new(big.Rat).Quo(d.value(), other.value()))
}

func bounded(rat *big.Rat) (Decimal, error) {
	if rat.Num().BitLen() > largest || rat.Denom().BitLen() > largest {
		return Decimal{}, ErrTooLarge
	}
	return Decimal{rat}, nil
}

// Bits is how large the number is in memory: what calculating with it costs grows with the square.
func (d Decimal) Bits() int { return d.value().Num().BitLen() + d.value().Denom().BitLen() }

// String is the number in full; one that has no end, or more digits than people read, is
// rounded to ten digits after the word "about".
func (d Decimal) String() string {
	const readable = 40 // characters; a number of as many digits has up to 133 bits
	rat := d.value()
	if rat.Num().BitLen() <= 133 && rat.Denom().BitLen() <= 133 {
		if digits, exact := rat.FloatPrec(); exact && digits < readable {
			if text := rat.FloatString(digits); len(text) <= readable {
				return text
			}
		}
	}
	return "about " + new(big.Float).SetPrec(64).SetRat(rat).Text('g', 10)
}

// Growth is how much a number has grown from one that is written to another, with a plus sign if it
// has; empty where that cannot be said.
func Growth(from, to string) string {
	a, err := Parse(from)
	if err != nil {
		return ""
	}
	b, err := Parse(to)
	if err != nil {
		return ""
	}
	change, err := b.Sub(a)
	if err != nil {
		return ""
	}
	if change.Cmp(Decimal{}) > 0 {
		return "+" + change.String()
	}
	return change.String()
}
