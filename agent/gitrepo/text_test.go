package gitrepo

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestMergeText(t *testing.T) {
	const conflict = "(conflict)"
	for _, c := range []struct{ name, base, ours, theirs, want string }{
		{"nothing", "", "", "", ""},
		{"nobody changed", "a\nb\n", "a\nb\n", "a\nb\n", "a\nb\n"},
		{"ours", "a\nb\nc\n", "a\nB\nc\n", "a\nb\nc\n", "a\nB\nc\n"},
		{"theirs", "a\nb\nc\n", "a\nb\nc\n", "a\nB\nc\n", "a\nB\nc\n"},
		{"both, apart", "a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "A\nb\nC\n"},
		{"both the same", "a\nb\nc\n", "a\nB\nc\n", "a\nB\nc\n", "a\nB\nc\n"},
		{"both the same, and one more", "a\nb\nc\nd\n", "a\nB\nc\nd\n", "a\nB\nc\nD\n", "a\nB\nc\nD\n"},
		{"the same line", "a\nb\nc\n", "a\nB\nc\n", "a\nX\nc\n", conflict},
		{"lines next to each other", "a\nb\nc\nd\n", "a\nB\nc\nd\n", "a\nb\nC\nd\n", conflict},
		{"a line between", "a\nb\nc\nd\n", "A\nb\nc\nd\n", "a\nb\nC\nd\n", "A\nb\nC\nd\n"},
		{"both insert at one place", "a\nb\n", "a\nx\nb\n", "a\ny\nb\n", conflict},
		{"both insert the same", "a\nb\n", "a\nx\nb\n", "a\nx\nb\n", "a\nx\nb\n"},
		{"one inserts more", "a\nb\n", "a\nx\nb\n", "a\nx\ny\nb\n", conflict},
		{"insert before what is changed", "a\nb\n", "x\na\nb\n", "A\nb\n", conflict},
		{"insert at both ends", "a\nb\n", "x\na\nb\n", "a\nb\ny\n", "x\na\nb\ny\n"},
		{"remove and change", "a\nb\nc\n", "a\nc\n", "a\nB\nc\n", conflict},
		{"remove all and change", "a\nb\nc\n", "", "a\nB\nc\n", conflict},
		{"remove apart", "a\nb\nc\nd\ne\n", "b\nc\nd\ne\n", "a\nb\nc\nd\n", "b\nc\nd\n"},
		{"both remove, one more", "a\nb\nc\nd\n", "a\nd\n", "a\nc\nd\n", conflict},
		{"two changes in one", "a\nb\nc\nd\ne\nf\n", "A\nB\nC\nD\nE\nf\n", "a\nX\nc\nY\ne\nf\n", conflict},
		{"a long change on both sides, the same", "a\nb\nc\nd\n", "a\nB\nC\nd\n", "a\nB\nC\nd\n", "a\nB\nC\nd\n"},
		{"added by both, one empty", "", "", "a\n", "a\n"},
		{"added by both", "", "b\n", "a\n", conflict},
		{"line ends of Windows", "a\r\nb\r\nc\r\n", "A\r\nb\r\nc\r\n", "a\r\nb\r\nC\r\n", "A\r\nb\r\nC\r\n"},
		{"line ends are changes", "a\nb\nc\n", "a\r\nb\nc\n", "a\nb\nC\n", "a\r\nb\nC\n"},
		{"all line ends", "a\nb\nc\n", "a\r\nb\r\nc\r\n", "a\nb\nC\n", conflict},
		{"no last line end", "a\nb\nc", "A\nb\nc", "a\nb\nC", "A\nb\nC"},
		{"a last line end more", "a\nb\nc", "A\nb\nc", "a\nb\nc\n", "A\nb\nc\n"},
		{"a last line end less", "a\nb\nc\n", "A\nb\nc\n", "a\nb\nc", "A\nb\nc"},
		{"an end, and something after it", "a\nb", "a\nb\n", "a\nb\nc", conflict},
		{"no text", "a\nb\nc\n", "A\nb\nc\n", "a\nb\n\x00\n", conflict},
		{"was no text", "a\n\x00\nc\n", "A\nb\nc\n", "a\nb\nC\n", conflict},
		{"one line without an end", "a", "b", "c", conflict},
		{"a block among its like", "x {\n}\ny {\n}\nz\n", "x {\n}\nn {\n}\ny {\n}\nz\n", "x {\n}\ny {\n}\nZ\n", "x {\n}\nn {\n}\ny {\n}\nZ\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, swapped := range []bool{false, true} {
				if swapped {
					c.ours, c.theirs = c.theirs, c.ours
				}
				effort := 10_000
				got, ok := mergeText([]byte(c.base), []byte(c.ours), []byte(c.theirs), &effort)
				if !ok {
					got = []byte(conflict)
				}
				if string(got) != c.want {
					t.Errorf("got %q, want %q (swapped: %v)", got, c.want, swapped)
				}
			}
		})
	}
}

// TestMergeTextIsBounded: texts that are made to be slow to compare are held to be in conflict.
func TestMergeTextIsBounded(t *testing.T) {
	repeat := func(n int, line func(int) string) []byte {
		var b strings.Builder
		for i := range n {
			b.WriteString(line(i) + "\n")
		}
		return []byte(b.String())
	}
	random := rand.New(rand.NewPCG(1, 2))
	few := func(of int) func(int) string {
		return func(int) string { return fmt.Sprint(random.IntN(of)) }
	}
	for name, texts := range map[string][3][]byte{
		"one line, again and again": {repeat(200_000, few(1)), repeat(200_001, few(1)), repeat(199_999, few(1))},
		"two lines":                 {repeat(200_000, few(2)), repeat(200_000, few(2)), repeat(200_000, few(2))},
		"lines just rare enough":    {repeat(100_000, few(2000)), repeat(100_000, few(2000)), repeat(100_000, few(2000))},
		"back to front":             {repeat(100_000, func(i int) string { return fmt.Sprint(i) }), repeat(100_000, func(i int) string { return fmt.Sprint(-i) }), repeat(100_000, func(i int) string { return fmt.Sprint(99_999 - i) })},
		"nothing but line ends":     {make([]byte, 0), []byte(strings.Repeat("\n", maxText)), []byte(strings.Repeat("\n", maxText-1))},
	} {
		t.Run(name, func(t *testing.T) {
			effort := 20_000_000
			_, ok := mergeText(texts[0], texts[1], texts[2], &effort)
			t.Log(ok, effort)
			if effort < -2_000_000 {
				t.Errorf("it took %d more than it may", -effort)
			}
		})
	}
}

// TestDifferencesAreDifferences: whatever is compared, putting the hunks into one text makes the other,
// and no hunk touches the next one.
func TestDifferencesAreDifferences(t *testing.T) {
	for seed := range uint64(3000) {
		random := rand.New(rand.NewPCG(seed, 1))
		text := func() []int {
			lines := make([]int, random.IntN(200))
			of := 1 + random.IntN(1+random.IntN(300))
			for i := range lines {
				lines[i] = random.IntN(of)
			}
			return lines
		}
		a, b := text(), text()
		effort := 1 << 30
		hunks, ok := differences(a, b, &effort)
		if !ok {
			t.Fatalf("seed %d: no effort left", seed)
		}
		var made []int
		done := 0
		for i, h := range hunks {
			if h.from < done || i > 0 && h.from == done || h.from == h.to && h.newFrom == h.newTo {
				t.Fatalf("seed %d: hunks %v", seed, hunks)
			}
			made = append(append(made, a[done:h.from]...), b[h.newFrom:h.newTo]...)
			done = h.to
		}
		if made = append(made, a[done:]...); fmt.Sprint(made) != fmt.Sprint(b) {
			t.Fatalf("seed %d: %v made of %v is %v, want %v", seed, hunks, a, made, b)
		}
	}
}

func FuzzMergeText(f *testing.F) {
	f.Add([]byte("a\nb\nc\n"), []byte("A\nb\nc\n"), []byte("a\nb\nC\n"))
	f.Fuzz(func(t *testing.T, base, ours, theirs []byte) {
		effort := 1 << 20
		one, ok := mergeText(base, ours, theirs, &effort)
		effort = 1 << 20
		other, also := mergeText(base, theirs, ours, &effort)
		if ok != also || string(one) != string(other) {
			t.Errorf("%q, %v one way and %q, %v the other", one, ok, other, also)
		}
		if string(base) == string(ours) && ok && string(one) != string(theirs) {
			t.Errorf("only theirs changed, and it is %q", one)
		}
	})
}
