// Package decimal has numbers as people write them: 0.941 is 0.941, and not the binary fraction
// next to it.
//
// In goes text, such as a metric of a model or a value that Prometheus answered; out come numbers
// that are added, subtracted, multiplied, divided and compared exactly, so that 0.943 - 0.002 is
// 0.941 and no gate is failed by a rounding that nobody can see.
//
// It never rounds, but in the text of a number that has no end or is very long, which then says
// "about". What is no number, NaN, infinite or too long is refused; a result that gets too large
// is an error, so that no expression can make the agent calculate for ever.
package decimal
