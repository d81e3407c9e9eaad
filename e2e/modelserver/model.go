package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
)

// model is a linear model, or one of what a linear model gives.
type model struct {
	Version   string
	Weights   []float64
	Bias      float64
	Link      string  // logistic: predictions are probabilities; without it, the sums themselves
	ErrorRate float64 // the share of requests that fail, from 0 to 1

	asked atomic.Int64
}

// parseModel reads a model.json.
func parseModel(content []byte) (*model, error) {
	m := &model{}
	if err := json.Unmarshal(content, m); err != nil {
		return nil, fmt.Errorf("model.json cannot be read: %w", err)
	}
	switch {
	case m.Version == "":
		return nil, errors.New("model.json has no version")
	case len(m.Weights) == 0:
		return nil, errors.New("model.json has no weights")
	case m.Link != "" && m.Link != logistic:
		return nil, fmt.Errorf("the link %q of model.json is not known: use %s, or leave it out", m.Link, logistic)
	case m.ErrorRate < 0 || m.ErrorRate > 1:
		return nil, fmt.Errorf("the errorRate %g of model.json is not from 0 to 1", m.ErrorRate)
	}
	return m, nil
}

// logistic is the link of logistic regression.
const logistic = "logistic"

// errOverflow is the error of a prediction that is no number.
var errOverflow = errors.New("the prediction is too large for a number")

// predict gives a prediction for each instance.
func (m *model) predict(instances [][]float64) ([]float64, error) {
	predictions := make([]float64, len(instances))
	for n, instance := range instances {
		if len(instance) != len(m.Weights) {
			return nil, fmt.Errorf("instance %d has %d numbers, the model has %d weights", n, len(instance), len(m.Weights))
		}
		sum := m.Bias
		for i, x := range instance {
			sum += m.Weights[i] * x
		}
		if m.Link == logistic {
			sum = 1 / (1 + math.Exp(-sum)) // 0 and 1 where it is too large for a number
		}
		if math.IsInf(sum, 0) || math.IsNaN(sum) {
			return nil, errOverflow
		}
		predictions[n] = sum
	}
	return predictions, nil
}

// fails says whether the next request is one of the share that fails. They are evenly spread: of
// ten requests with a rate of 0.3 it is three, whichever ten.
func (m *model) fails() bool {
	n := float64(m.asked.Add(1))
	return math.Floor(n*m.ErrorRate) > math.Floor((n-1)*m.ErrorRate)
}
