package logistic

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Example makes a CSV file of rows by chance, as [Read] reads it: for tests and demos, which have no
// business of their own. Features are around 0, and labels are as likely as the model says. The same
// seed makes the same rows.
func (m Model) Example(columns []string, seed uint64, count int) string {
	chance := rand.New(rand.NewPCG(seed, 0))
	var file strings.Builder
	fmt.Fprintln(&file, strings.Join(append(columns[:len(columns):len(columns)], labelColumn), ","))
	features := make([]float64, len(m.Weights))
	for range count {
		for n := range features {
			features[n] = chance.NormFloat64()
			fmt.Fprintf(&file, "%.3f,", features[n])
		}
		label := 0
		if chance.Float64() < m.Probability(features) {
			label = 1
		}
		fmt.Fprintln(&file, label)
	}
	return file.String()
}
