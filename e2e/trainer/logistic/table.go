package logistic

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Table is what a model is trained or measured with.
type Table struct {
	// Columns are the names of the features.
	Columns []string
	Rows    []Row
}

// Row is one observation.
type Row struct {
	Features []float64
	Label    bool
}

// labelColumn is the last one.
const labelColumn = "label"

// maxColumns bounds the features: the time of a training grows with the third power of it.
const maxColumns = 64

// Read reads a CSV file: a line with the names of the columns, of which the last is label, then a
// line of numbers for each row, with the label 0 or 1. Errors name the file, and the line that is
// wrong.
func Read(name string, content io.Reader) (Table, error) {
	file := csv.NewReader(content)
	file.ReuseRecord = true
	header, err := file.Read()
	if errors.Is(err, io.EOF) {
		return Table{}, fmt.Errorf("%s is empty: its first line has to name the columns", name)
	}
	if err != nil {
		return Table{}, fmt.Errorf("%s: %w", name, err)
	}
	last := len(header) - 1
	switch {
	case header[last] != labelColumn:
		return Table{}, fmt.Errorf("%s: line 1 names the columns, and the last is %q: it has to be %s", name, header[last], labelColumn)
	case last == 0 || last > maxColumns:
		return Table{}, fmt.Errorf("%s: line 1 names %d features: there have to be 1 to %d", name, last, maxColumns)
	}
	t := Table{Columns: slices.Clone(header[:last])}
	for {
		record, err := file.Read()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return Table{}, fmt.Errorf("%s: %w", name, err) // it names the line
		}
		row, field, err := t.row(record)
		if err != nil {
			line, _ := file.FieldPos(field)
			return Table{}, fmt.Errorf("%s: line %d: %w", name, line, err)
		}
		t.Rows = append(t.Rows, row)
	}
}

// row reads one; if it is wrong, it says which field is.
func (t Table) row(record []string) (row Row, field int, err error) {
	row.Features = make([]float64, len(t.Columns))
	for n, name := range t.Columns {
		x, err := strconv.ParseFloat(strings.TrimSpace(record[n]), 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return Row{}, n, fmt.Errorf("%s is %.40q, which is no number", name, record[n])
		}
		row.Features[n] = x
	}
	switch label := strings.TrimSpace(record[len(t.Columns)]); label {
	case "0", "1":
		row.Label = label == "1"
		return row, 0, nil
	default:
		return Row{}, len(t.Columns), fmt.Errorf("%s is %.40q: it has to be 0 or 1", labelColumn, label)
	}
}

// Join adds the rows of another table, which has to have the same columns.
func (t *Table) Join(other Table) error {
	if t.Columns == nil {
		t.Columns = other.Columns
	}
	if !slices.Equal(t.Columns, other.Columns) {
		return fmt.Errorf("its columns are %s, and those of the files before are %s", strings.Join(other.Columns, ", "), strings.Join(t.Columns, ", "))
	}
	t.Rows = append(t.Rows, other.Rows...)
	return nil
}

// heldOut is one of how many rows a model is measured with.
const heldOut = 4

// Split tells the rows to train with from those to measure with. Another seed holds out others.
func (t Table) Split(seed uint64) (training, held Table) {
	training.Columns, held.Columns = t.Columns, t.Columns
	for _, row := range t.Rows {
		if row.number(seed)%heldOut == 0 {
			held.Rows = append(held.Rows, row)
		} else {
			training.Rows = append(training.Rows, row)
		}
	}
	return training, held
}

// number of a row: any, and always the same.
func (r Row) number(seed uint64) byte {
	content := binary.BigEndian.AppendUint64(nil, seed)
	for _, x := range r.Features {
		content = binary.BigEndian.AppendUint64(content, math.Float64bits(x))
	}
	return sha256.Sum256(content)[0]
}
