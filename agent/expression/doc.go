// Package expression is the language that gates and analyses are written in: CEL, with exact
// numbers and with limits.
//
// A [Language] is made once, of the variables that its expressions may name. In goes the text of
// an expression and later the values of the variables; out comes a [Verdict]: whether it is true,
// and why, with the values that decided it ("auc of v8 is 0.938, and at least 0.941 - 0.002 =
// 0.939 is needed").
//
// There is one kind of number, the exact decimal: literals, metrics, sizes and what size() gives
// are all numbers, so that 0.1 + 0.2 == 0.3 and 1 / 3 is a third. Besides these there are true and
// false, strings, durations, times, lists, and the objects and maps that the Language declares;
// the operators of CEL for them; has, all, exists, exists_one, filter and map; in, size, contains,
// startsWith, endsWith, duration and timestamp. What CEL has besides (regular expressions,
// bytes, conversions) is left out: nobody has needed it, and each has a price to bound.
//
// An expression is hostile input. Its length, the depth of its nesting, what it is estimated to
// cost, what it does cost and the digits of its numbers are bounded, and nothing it holds makes
// this package panic. It reads nothing but the values it is given.
package expression
