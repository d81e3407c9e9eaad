// Package logistic trains a logistic regression: from rows of numbers with a yes or no each, a model
// that gives the probability of yes.
//
// In goes CSV text ([Read]); out come a [Model] and its [Metrics] on rows that it has not seen. The
// same rows in the same order give the same model to the last bit. [Table.Split] decides by what is
// in a row, so that a row that was held out once is held out always: a later model, trained with
// more rows, has not seen what an earlier one was measured with.
//
// It reads no files, and knows no clock and no chance.
package logistic
