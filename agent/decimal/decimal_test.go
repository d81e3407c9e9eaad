package decimal

import (
	"errors"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func parsed(t testing.TB, text string) Decimal {
	t.Helper()
	d, err := Parse(text)
	if err != nil {
		t.Fatalf("%s %v", text, err)
	}
	return d
}

func TestParseAndString(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "-0": "0", "-0.0": "0", "0.941": "0.941", "0.9410": "0.941", "12": "12", "-12.50": "-12.5",
		"1e3": "1000", "1.5E-7": "0.00000015", "5e+2": "500", "007": "7",
		"123456789012345678901234567890.123456789": "123456789012345678901234567890.123456789",
		"1e999":                   "about 1e+999",
		"-1.25e-999":              "about -1.25e-999",
		strings.Repeat("9", 400):  "about 1e+400",
		"0.30000000000000004":     "0.30000000000000004",
		"4.9406564584124654e-324": "about 4.940656458e-324",
	} {
		if got := parsed(t, text).String(); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
	if got := (Decimal{}).String(); got != "0" {
		t.Errorf("the zero value is %s", got)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                `is "", which is no decimal number`,
		"NaN":                             `is "NaN", which is no decimal number`,
		"+Inf":                            "no decimal number",
		"-Inf":                            "no decimal number",
		"infinity":                        "no decimal number",
		"1/3":                             "no decimal number",
		"0x10":                            "no decimal number",
		"1_000":                           "no decimal number",
		"1,5":                             "no decimal number",
		".5":                              "no decimal number",
		"5.":                              "no decimal number",
		"+5":                              "no decimal number",
		" 5":                              "no decimal number",
		"5\n":                             `is "5\n", which is no decimal number`,
		"1e1000":                          "no decimal number",
		"1e":                              "no decimal number",
		"0.9 or so":                       "no decimal number",
		"\x1b[31m1m":                      `is "\x1b[31m1m", which`,
		strings.Repeat("9", 401):          "is longer than the 400 characters",
		strings.Repeat("x", 300):          `"` + strings.Repeat("x", 40) + `"…`,
		strings.Repeat("1", 1<<20):        "longer",
		"１２":                              "no decimal number",
		"1e-" + strings.Repeat("9", 100):  "no decimal number",
		"0." + strings.Repeat("0", 10000): "longer",
	} {
		_, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %s", text, err, want)
		}
	}
}

// Numbers are what people wrote, so what holds for whole numbers holds for their fractions: a
// decimal with three digits is compared and calculated with like its thousandfold.
func TestExactness(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	thousandth := func(n int64) Decimal { return parsed(t, big.NewRat(n, 1000).FloatString(3)) }
	for range 20000 {
		a, b := random.Int64N(4000)-2000, random.Int64N(4000)-2000
		x, y := thousandth(a), thousandth(b)
		sum, err := x.Add(y)
		if err != nil || !sum.Equal(thousandth(a+b)) {
			t.Fatalf("%s + %s = %s, %v", x, y, sum, err)
		}
		difference, err := x.Sub(y)
		if err != nil || !difference.Equal(thousandth(a-b)) {
			t.Fatalf("%s - %s = %s, %v", x, y, difference, err)
		}
		back, err := difference.Add(y)
		if err != nil || !back.Equal(x) || back.Cmp(x) != 0 {
			t.Fatalf("%s - %s + %s = %s, %v", x, y, y, back, err)
		}
		if want := big.NewInt(a).Cmp(big.NewInt(b)); x.Cmp(y) != want || x.Equal(y) != (want == 0) {
			t.Fatalf("%s against %s: %d, %v", x, y, x.Cmp(y), x.Equal(y))
		}
		if b != 0 {
			quotient, err := x.Quo(y)
			if err != nil {
				t.Fatal(err)
			}
			if product, err := quotient.Mul(y); err != nil || !product.Equal(x) {
				t.Fatalf("%s / %s * %s = %s, %v", x, y, y, product, err)
			}
		}
		if again := parsed(t, x.String()); !again.Equal(x) {
			t.Fatalf("%s came back as %s", x, again)
		}
	}
}

// The shortest text of a float64 is what programs write; it comes back the same.
func TestShortestTextOfFloats(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		f := random.NormFloat64()
		d := parsed(t, strconv.FormatFloat(f, 'f', -1, 64))
		if back, _ := d.value().Float64(); back != f {
			t.Fatalf("%v came back as %v", f, back)
		}
	}
}

func TestErrors(t *testing.T) {
	if _, err := Of(1).Quo(Decimal{}); !errors.Is(err, ErrDivision) {
		t.Errorf("1 / 0: %v", err)
	}
	huge, tiny := parsed(t, "1e999"), parsed(t, "1e-999")
	large := huge
	var err error
	for n := 1; err == nil; n++ {
		if n > 10 {
			t.Fatal("the number grows without end")
		}
		large, err = large.Mul(huge)
	}
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if sum, err := huge.Add(tiny); err != nil || sum.Cmp(huge) != 1 {
		t.Errorf("1e999 + 1e-999: %v, %v", sum, err)
	}
}

func TestNothingIsWrittenTo(t *testing.T) {
	a, b := parsed(t, "0.5"), parsed(t, "0.25")
	a.Neg()
	for _, calculate := range []func(Decimal) (Decimal, error){a.Add, a.Sub, a.Mul, a.Quo} {
		if _, err := calculate(b); err != nil || a.String() != "0.5" || b.String() != "0.25" {
			t.Fatalf("%s, %s, %v", a, b, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"0.941", "-1e-99", "NaN", "1e999", "00.00", "1/3"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text)
		if err != nil {
			return
		}
		if s := d.String(); len(s) > 60 {
			t.Errorf("%q is shown as %q", text, s)
		}
		if sum, err := d.Add(d.Neg()); err != nil || !sum.Equal(Decimal{}) {
			t.Errorf("%q minus itself is %v, %v", text, sum, err)
		}
	})
}

func TestGrowth(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"0", "-1e60", "about -1e+60"}, {"0.940", "0.941", "+0.001"}, {"0.941", "0.940", "-0.001"}, {"1", "1.0", "0"}, {"", "1", ""}, {"1", "", ""}, {"1", "NaN", ""},
	} {
		if have := Growth(c.from, c.to); have != c.want {
			t.Errorf("from %q to %q: %q, want %q", c.from, c.to, have, c.want)
		}
	}
}
