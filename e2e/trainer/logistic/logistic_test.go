package logistic

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// truth is what the generator of these tests goes by.
var truth = Model{Weights: []float64{2, -1, 0.5, 0}, Bias: -0.5}

// noisy makes rows with labels by chance, as likely as truth says.
func noisy(t *testing.T, seed uint64, count int) []Row {
	t.Helper()
	table, err := Read("noisy.csv", strings.NewReader(truth.Example([]string{"a", "b", "c", "d"}, seed, count)))
	if err != nil || len(table.Rows) != count {
		t.Fatalf("%d rows, %v", len(table.Rows), err)
	}
	return table.Rows
}

// separable makes rows of which a line through the plane tells yes from no, on very different scales.
func separable(count int) []Row {
	chance := rand.New(rand.NewPCG(1, 2))
	var rows []Row
	for len(rows) < count {
		x, y := chance.NormFloat64(), chance.NormFloat64()
		if math.Abs(x+y) > 0.2 {
			rows = append(rows, Row{Features: []float64{1000 + 1000*x, y / 1000, 0.1}, Label: x+y > 0})
		}
	}
	return rows
}

func train(t *testing.T, rows []Row) Model {
	t.Helper()
	m, err := Train(rows)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func measure(t *testing.T, m Model, rows []Row) Metrics {
	t.Helper()
	metrics, err := m.Measure(rows)
	if err != nil {
		t.Fatal(err)
	}
	return metrics
}

func TestSeparable(t *testing.T) {
	rows := separable(400)
	m := train(t, rows[:300])
	if got := measure(t, m, rows[300:]); got.Accuracy < 0.98 || got.LogLoss > 0.1 {
		t.Errorf("%+v of %+v", got, m)
	}
	if m.Weights[2] != 0 {
		t.Errorf("a feature that is always the same has the weight %g", m.Weights[2])
	}
}

// TestNoisy finds what the generator went by, and the place where the loss is flat.
func TestNoisy(t *testing.T) {
	rows := noisy(t, 1, 20000)
	m := train(t, rows)
	for n, want := range append([]float64{truth.Bias}, truth.Weights...) {
		if got := append([]float64{m.Bias}, m.Weights...)[n]; math.Abs(got-want) > 0.1 {
			t.Errorf("%d: have %g, the generator went by %g", n, got, want)
		}
	}
	s, err := scalesOf(rows)
	if err != nil {
		t.Fatal(err)
	}
	x, y := s.apply(rows)
	w := []float64{m.Bias}
	for n, weight := range m.Weights {
		w = append(w, weight*s.spread[n])
		w[0] += weight * s.mean[n]
	}
	least := lossOf(w, x, y)
	for i := range w {
		for _, aside := range []float64{-0.01, 0.01} {
			near := append([]float64{}, w...)
			near[i] += aside
			if loss := lossOf(near, x, y); loss <= least {
				t.Errorf("beside the model, at %d, the loss is %g, and at it %g", i, loss, least)
			}
		}
	}
}

func TestMoreRowsAreBetter(t *testing.T) {
	held := noisy(t, 99, 5000)
	last := Metrics{LogLoss: math.Inf(1)}
	for _, count := range []int{20, 100, 500, 2500, 12500} {
		got := measure(t, train(t, noisy(t, 1, count)), held)
		t.Logf("%d rows: %+v", count, got)
		if got.LogLoss > last.LogLoss || got.Accuracy < last.Accuracy || got.AUC < last.AUC {
			t.Errorf("with %d rows it is %+v, with fewer %+v", count, got, last)
		}
		last = got
	}
	if best := measure(t, truth, held); last.LogLoss > best.LogLoss*1.01 {
		t.Errorf("%+v at the end, and what the generator went by has %+v", last, best)
	}
}

func TestSameRowsSameModel(t *testing.T) {
	if a, b := train(t, noisy(t, 3, 500)), train(t, noisy(t, 3, 500)); !reflect.DeepEqual(a, b) {
		t.Errorf("%+v and %+v", a, b)
	}
}

func TestMetrics(t *testing.T) {
	m := Model{Weights: []float64{1}}
	rows := []Row{{[]float64{0}, false}, {[]float64{math.Log(3)}, true}, {[]float64{math.Log(3)}, false}, {[]float64{-1000}, true}}
	want := Metrics{Accuracy: 0.5, LogLoss: -(math.Log(0.5) + math.Log(0.75) + math.Log(0.25) + math.Log(1e-15)) / 4, AUC: 1.5 / 4}
	if got := measure(t, m, rows); got.Accuracy != want.Accuracy || math.Abs(got.LogLoss-want.LogLoss) > 1e-9 || got.AUC != want.AUC {
		t.Errorf("have %+v, want %+v", got, want)
	}
	many := noisy(t, 4, 300)
	wins, pairs := 0.0, 0.0
	for _, yes := range many {
		for _, no := range many {
			if !yes.Label || no.Label {
				continue
			}
			pairs++
			switch a, b := truth.Probability(yes.Features), truth.Probability(no.Features); {
			case a > b:
				wins++
			case a == b:
				wins += 0.5
			}
		}
	}
	if got := measure(t, truth, many); math.Abs(got.AUC-wins/pairs) > 1e-12 {
		t.Errorf("the AUC is %g, and of %g pairs %g are won", got.AUC, pairs, wins)
	}
	for want, rows := range map[string][]Row{
		"of 0 rows to measure with, 0 have the label 1": nil,
		"of 1 rows to measure with, 1 have the label 1": rows[1:2],
	} {
		if got, err := m.Measure(rows); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, have %+v, %v", want, got, err)
		}
	}
}

func TestNothingToTrainWith(t *testing.T) {
	huge := []Row{{[]float64{1e308}, true}, {[]float64{-1e308}, false}}
	for want, rows := range map[string][]Row{
		"of 0 rows to train with, 0 have the label 1":          nil,
		"of 2 rows to train with, 2 have the label 1":          {{[]float64{1}, true}, {[]float64{2}, true}},
		"of 1 rows to train with, 0 have the label 1":          {{[]float64{1}, false}},
		"the numbers of feature 1 are too large to train with": huge,
	} {
		if m, err := Train(rows); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, have %v, %v", want, m, err)
		}
	}
}

// TestSplit holds out what it held out before, when more rows come.
func TestSplit(t *testing.T) {
	few := Table{Columns: []string{"a", "b", "c", "d"}, Rows: noisy(t, 1, 1000)}
	many := few
	many.Rows = append(noisy(t, 2, 1000), few.Rows...)
	_, first := few.Split(7)
	training, second := many.Split(7)
	if len(training.Rows)+len(second.Rows) != 2000 || len(second.Rows) < 400 || len(second.Rows) > 600 {
		t.Errorf("%d to train with, %d held out", len(training.Rows), len(second.Rows))
	}
	if n := len(second.Rows) - len(first.Rows); !reflect.DeepEqual(second.Rows[n:], first.Rows) {
		t.Error("what was held out is not what was held out before")
	}
	if _, other := few.Split(8); reflect.DeepEqual(other, first) {
		t.Error("another seed holds out the same")
	}
}

func TestRead(t *testing.T) {
	got, err := Read("a.csv", strings.NewReader("amount,hour,label\n12.5, 3,0\n\n\"-1e3\",23,1\r\n"))
	want := Table{[]string{"amount", "hour"}, []Row{{[]float64{12.5, 3}, false}, {[]float64{-1000, 23}, true}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if empty, err := Read("a.csv", strings.NewReader("amount,label\n")); err != nil || len(empty.Rows) != 0 {
		t.Errorf("%+v, %v", empty, err)
	}
	const header = "amount,hour,label\n"
	for content, want := range map[string]string{
		"":                                "a.csv is empty: its first line has to name the columns",
		"amount,hour\n1,2\n":              `a.csv: line 1 names the columns, and the last is "hour": it has to be label`,
		"label\n1\n":                      "a.csv: line 1 names 0 features: there have to be 1 to 64",
		wide(65) + "label\n":              "a.csv: line 1 names 65 features",
		header + "1,2,0\n1,two,0\n":       `a.csv: line 3: hour is "two", which is no number`,
		header + "1,2,0\n\n\n,2,0\n":      `a.csv: line 5: amount is "", which is no number`,
		header + "NaN,2,0\n":              `a.csv: line 2: amount is "NaN", which is no number`,
		header + "1e999,2,0\n":            `a.csv: line 2: amount is "1e999", which is no number`,
		header + "1,-Inf,0\n":             `a.csv: line 2: hour is "-Inf", which is no number`,
		header + "1,2,yes\n":              `a.csv: line 2: label is "yes": it has to be 0 or 1`,
		header + "1,2,0\n1,2\n":           "a.csv: record on line 3: wrong number of fields",
		header + "1,2,0\n\"1,2,0\n":       "a.csv: parse error on line 3",
		header + "1,2," + wide(99) + "\n": "a.csv: record on line 2: wrong number of fields",
	} {
		if table, err := Read("a.csv", strings.NewReader(content)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: want %q, have %v, %v", content, want, table, err)
		}
	}
}

func wide(columns int) string {
	var b strings.Builder
	for n := range columns {
		fmt.Fprintf(&b, "x%d,", n)
	}
	return b.String()
}

func TestJoin(t *testing.T) {
	var all Table
	for _, content := range []string{"a,b,label\n1,2,0\n", "a,b,label\n3,4,1\n5,6,1\n"} {
		table, err := Read("a.csv", strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if err := all.Join(table); err != nil {
			t.Fatal(err)
		}
	}
	if len(all.Rows) != 3 || len(all.Columns) != 2 {
		t.Errorf("%+v", all)
	}
	if err := all.Join(Table{Columns: []string{"b", "a"}}); err == nil || err.Error() != "its columns are b, a, and those of the files before are a, b" {
		t.Error(err)
	}
}
