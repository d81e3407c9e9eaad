package expression

import (
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// dearest is what an expression may cost. A step costs about 1, and looking at a metric and
// comparing it some 5. So many take some tens of milliseconds at worst; a million would take
// some seconds, for CEL's own counting of them gets slower with each.
const dearest = 10_000

// affordable refuses an expression that may cost too much when it is evaluated.
func (l *Language) affordable(checked *cel.Ast) error {
	estimate, err := l.env.EstimateCost(checked, estimator{})
	if err != nil {
		return fmt.Errorf("what the expression costs cannot be estimated: %s", printable(err.Error()))
	}
	if estimate.Max > dearest {
		return fmt.Errorf("the expression may take more than %d steps: put fewer of all, exists, filter and map into one another", dearest)
	}
	return nil
}

// estimator says how large values may be that are not known before.
type estimator struct{}

// Sizes of what is in evidence. Nothing is unsafe where they are exceeded: the cost of each
// evaluation is counted besides.
var (
	entries    = checker.SizeEstimate{Max: 128}
	characters = checker.SizeEstimate{Max: 2048}
	labels     = checker.SizeEstimate{Max: 320} // keys and values of maps
	single     = checker.FixedSizeEstimate(1)
)

// EstimateSize estimates the size of a value.
func (estimator) EstimateSize(node checker.AstNode) *checker.SizeEstimate {
	switch path := node.Path(); node.Type().Kind() {
	case types.MapKind, types.ListKind:
		return &entries
	case types.StringKind:
		if len(path) > 0 && strings.HasPrefix(path[len(path)-1], "@") {
			return &labels
		}
		return &characters
	}
	return &single
}

// EstimateCallCost leaves all functions at what CEL takes them to cost.
func (estimator) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}

// price is what a call did cost.
type price struct{}

// CallCost makes calculations with very long numbers as dear as they are: they take time with
// the square of their digits. Others cost what CEL takes them to.
func (price) CallCost(_, _ string, args []ref.Val, _ ref.Val) *uint64 {
	bits := 0
	for _, arg := range args {
		if n, ok := arg.(number); ok {
			bits += n.Bits()
		}
	}
	words := uint64(bits / 64)
	cost := words * words / 512 // 8 µs for two numbers of 7,000 bits
	if cost <= 1 {
		return nil
	}
	return &cost
}
