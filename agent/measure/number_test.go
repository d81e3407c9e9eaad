package measure

import (
	"strings"
	"testing"
)

func TestDecimal(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"0", "0"},
		{"-0", "0"},
		{"0.000", "0"},
		{"1", "1"},
		{"+1", "1"},
		{"-12.50", "-12.5"},
		{"007", "7"},
		{"0.013333333333333334", "0.013333333333333334"},
		{"1e-07", "0.0000001"},
		{"1.5e-3", "0.0015"},
		{"123.456e1", "1234.56"},
		{"123.456E+6", "123456000"},
		{"123.456e-2", "1.23456"},
		{"123.456e-5", "0.00123456"},
		{"-1e+06", "-1000000"},
		{"0e400", "0"},
		{"1.7976931348623157e308", "17976931348623157" + strings.Repeat("0", 292)},
		{"5e-324", "0." + strings.Repeat("0", 323) + "5"},
		{"17976931348623157" + strings.Repeat("0", 292), "17976931348623157" + strings.Repeat("0", 292)},
		{"4.9406564584124654e-324", "0." + strings.Repeat("0", 323) + "49406564584124654"},
		{strings.Repeat("1", 400), strings.Repeat("1", 400)},
	} {
		if got, ok := decimal(c.text); !ok || got != c.want {
			t.Errorf("%s is %s, %v, want %s", c.text, got, ok, c.want)
		}
	}
	for _, text := range []string{
		"", " 1", "1 ", ".5", "5.", "NaN", "+Inf", "Infinity", "0x1p-2", "1_000", "1,5", "--1", "1e", "1e+", "e5", "1e401", "1e-401", "1e99999",
		"1e400", "1e-399", strings.Repeat("1", 401), "0." + strings.Repeat("3", 399), strings.Repeat("0", 401), "１", "1\n",
	} {
		if got, ok := decimal(text); ok {
			t.Errorf("%q is taken for %s", text, got)
		}
	}
}

func FuzzDecimal(f *testing.F) {
	for _, seed := range []string{"1", "-0.5e-3", "1e400", "00.10"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once, ok := decimal(text)
		if !ok {
			return
		}
		if again, ok := decimal(once); !ok || again != once || len(once) > maxNumber || strings.ContainsAny(once, "eE+ ") {
			t.Errorf("%q becomes %s, and that becomes %s", text, once, again)
		}
	})
}
