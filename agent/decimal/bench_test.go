package decimal

import "testing"

func BenchmarkMul(b *testing.B) {
	for name, text := range map[string]string{"short": "0.941", "float": "0.30000000000000004", "long": "1.2345678901234567e-999"} {
		b.Run(name, func(b *testing.B) {
			x := parsed(b, text)
			y, err := x.Mul(x)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := y.Mul(y); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(y.Bits()), "bits")
		})
	}
}
