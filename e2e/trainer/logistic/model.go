package logistic

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Model gives the probability of yes: 1 / (1 + exp(-(Bias + Weights · features))).
type Model struct {
	Weights []float64
	Bias    float64
}

// Probability of yes. There have to be as many features as weights.
func (m Model) Probability(features []float64) float64 {
	sum := m.Bias
	for n, x := range features {
		sum += m.Weights[n] * x
	}
	return sigmoid(sum)
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// Metrics are how good a model is.
type Metrics struct {
	// Accuracy is the share of rows of which it says what is so.
	Accuracy float64
	// LogLoss is the mean of the logarithm of what it gave for what was not so: 0 is perfect.
	LogLoss float64
	// AUC is how likely it gives more to a row that is yes than to one that is no: 0.5 is chance, 1 is
	// perfect.
	AUC float64
}

// Measure measures a model with rows.
func (m Model) Measure(rows []Row) (Metrics, error) {
	yes, no, err := count(rows, "measure")
	if err != nil {
		return Metrics{}, err
	}
	given := make([]verdict, len(rows))
	right, loss := 0, 0.0
	for n, row := range rows {
		p := m.Probability(row.Features)
		if (p > 0.5) == row.Label {
			right++
		}
		loss -= likelihood(p, row.Label)
		given[n] = verdict{p, row.Label}
	}
	size := float64(len(rows))
	return Metrics{float64(right) / size, loss / size, wins(given) / (float64(yes) * float64(no))}, nil
}

// count tells how many rows are yes and how many no. Without some of each there is nothing to tell apart.
func count(rows []Row, purpose string) (yes, no int, err error) {
	for _, row := range rows {
		if row.Label {
			yes++
		}
	}
	no = len(rows) - yes
	if yes == 0 || no == 0 {
		return 0, 0, fmt.Errorf("of %d rows to %s with, %d have the label 1: some of each label are needed", len(rows), purpose, yes)
	}
	return yes, no, nil
}

// verdict is what a model gave for a row, and what is so.
type verdict struct {
	p     float64
	label bool
}

// wins counts in how many pairs of a yes and a no the yes was given more; a draw is half of one.
func wins(given []verdict) float64 {
	slices.SortFunc(given, func(a, b verdict) int { return cmp.Compare(a.p, b.p) })
	sum, below := 0.0, 0.0
	for len(given) > 0 {
		same := 0 // have been given the same
		yes, no := 0.0, 0.0
		for same < len(given) && given[same].p == given[0].p {
			if given[same].label {
				yes++
			} else {
				no++
			}
			same++
		}
		sum += yes * (below + no/2)
		below += no
		given = given[same:]
	}
	return sum
}

// likelihood is the logarithm of the probability that was given to what is so. It is finite: who is
// sure and wrong loses much, but not everything.
func likelihood(p float64, label bool) float64 {
	if !label {
		p = 1 - p
	}
	return math.Log(max(p, 1e-15))
}

// Bounds of a training.
const (
	penalty    = 1.0   // of the squares of weights: without it, rows that are easily told apart have no best model
	iterations = 100   // ten are many
	settled    = 1e-12 // the share of its loss by which the last iteration makes it better
)

// Train finds the model with the least loss, by Newton's method, on features that are brought to the
// same scale.
func Train(rows []Row) (Model, error) {
	if _, _, err := count(rows, "train"); err != nil {
		return Model{}, err
	}
	scales, err := scalesOf(rows)
	if err != nil {
		return Model{}, err
	}
	x, y := scales.apply(rows)
	w := make([]float64, len(x[0]))
	loss := lossOf(w, x, y)
	for range iterations {
		next, found := descend(w, newton(w, x, y), loss, x, y)
		better := loss - found
		w, loss = next, found
		if better <= settled*loss {
			return scales.undo(w), nil
		}
	}
	return Model{}, fmt.Errorf("the training did not settle within %d iterations", iterations)
}

// lossOf is what is made small.
func lossOf(w []float64, x [][]float64, y []bool) float64 {
	loss := 0.0
	for _, v := range w[1:] {
		loss += penalty / 2 * v * v
	}
	for n := range x {
		loss -= likelihood(sigmoid(dot(w, x[n])), y[n])
	}
	return loss
}

// newton is the step to where the loss would be least if it were a parabola.
func newton(w []float64, x [][]float64, y []bool) []float64 {
	size := len(w)
	gradient, curve := make([]float64, size), make([][]float64, size)
	for i := range curve {
		curve[i] = make([]float64, size)
		curve[i][i] = penalty
		gradient[i] = penalty * w[i]
	}
	gradient[0], curve[0][0] = 0, 1e-9 // the bias is free, and still there is always a step
	for n := range x {
		p := sigmoid(dot(w, x[n]))
		off := p
		if y[n] {
			off--
		}
		for i := range size {
			gradient[i] += off * x[n][i]
			for j := range i + 1 {
				curve[i][j] += p * (1 - p) * x[n][i] * x[n][j]
			}
		}
	}
	return solve(curve, gradient)
}

// descend goes a step, or as much of it as makes the loss smaller.
func descend(w, step []float64, loss float64, x [][]float64, y []bool) ([]float64, float64) {
	for length := 1.0; length > 1e-6; length /= 2 {
		next := make([]float64, len(w))
		for i := range w {
			next[i] = w[i] - length*step[i]
		}
		if found := lossOf(next, x, y); found <= loss {
			return next, found
		}
	}
	return w, loss
}

// solve solves curve · step = gradient by Cholesky's method. Of curve, which is symmetric and, with the
// penalty, definite, it needs the lower half, and makes another use of it.
func solve(curve [][]float64, gradient []float64) []float64 {
	size := len(gradient)
	for i := range size {
		for j := range i + 1 {
			sum := curve[i][j]
			for k := range j {
				sum -= curve[i][k] * curve[j][k]
			}
			if i == j {
				curve[i][i] = math.Sqrt(sum)
			} else {
				curve[i][j] = sum / curve[j][j]
			}
		}
	}
	step := make([]float64, size)
	for i := range size {
		step[i] = (gradient[i] - dot(curve[i][:i], step[:i])) / curve[i][i]
	}
	for i := size - 1; i >= 0; i-- {
		for k := i + 1; k < size; k++ {
			step[i] -= curve[k][i] * step[k]
		}
		step[i] /= curve[i][i]
	}
	return step
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for n := range a {
		sum += a[n] * b[n]
	}
	return sum
}

// scales are the mean of each feature, and how far it strays from it: infinitely far if it has nothing to
// say.
type scales struct{ mean, spread []float64 }

func scalesOf(rows []Row) (scales, error) {
	size, n := len(rows[0].Features), float64(len(rows))
	s := scales{make([]float64, size), make([]float64, size)}
	for _, row := range rows {
		for i, x := range row.Features {
			s.mean[i] += x / n
		}
	}
	for _, row := range rows {
		for i, x := range row.Features {
			s.spread[i] += (x - s.mean[i]) * (x - s.mean[i]) / n
		}
	}
	for i, square := range s.spread {
		switch s.spread[i] = math.Sqrt(square); {
		case math.IsInf(square, 0) || math.IsNaN(square):
			return scales{}, fmt.Errorf("the numbers of feature %d are too large to train with: bring them to a smaller scale", i+1)
		case s.spread[i] <= 1e-12*math.Abs(s.mean[i]):
			s.spread[i] = math.Inf(1) // it is always the same, but for rounding, and gets no weight
		}
	}
	return s, nil
}

// apply brings features to the same scale, with a 1 before them, whose weight is the bias.
func (s scales) apply(rows []Row) (x [][]float64, y []bool) {
	for _, row := range rows {
		scaled := []float64{1}
		for i, v := range row.Features {
			scaled = append(scaled, (v-s.mean[i])/s.spread[i])
		}
		x, y = append(x, scaled), append(y, row.Label)
	}
	return x, y
}

// undo makes a model of features as they are.
func (s scales) undo(w []float64) Model {
	m := Model{Weights: make([]float64, len(s.mean)), Bias: w[0]}
	for i := range s.mean {
		m.Weights[i] = w[i+1] / s.spread[i]
		m.Bias -= m.Weights[i] * s.mean[i]
	}
	return m
}
