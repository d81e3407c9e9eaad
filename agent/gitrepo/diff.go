package gitrepo

// hunk says that the lines from..to of one text became the lines newFrom..newTo of another.
type hunk struct{ from, to, newFrom, newTo int }

// differences compares two texts whose lines are numbers, the same for the same line, in the order in
// which they differ. It finds what Git finds when it merges, so that what merges here merges there:
// lines that are rare in the first text are held to be the same lines in the second, and the rest
// is looked at between them. Each comparison takes of the effort; when that is used up the answer is
// false.
func differences(a, b []int, effort *int) ([]hunk, bool) {
	c := &comparison{a: a, b: b, effort: effort, stays: make([]bool, len(a)), came: make([]bool, len(b)), next: make([]int, len(a))}
	size := 0
	for _, text := range [][]int{a, b} {
		for _, line := range text {
			size = max(size, line+1)
		}
	}
	c.first, c.count = make([]int, size), make([]int, size)
	if !c.run() {
		return nil, false
	}
	inA, inB := places(c.stays), places(c.came)
	slide(a, inA, inB, len(b), effort)
	slide(b, inB, inA, len(a), effort)
	var list []hunk
	for n := range len(inA) + 1 {
		var h hunk
		h.from, h.to = gap(inA, n, len(a))
		h.newFrom, h.newTo = gap(inB, n, len(b))
		if h.from < h.to || h.newFrom < h.newTo {
			list = append(list, h)
		}
	}
	return list, *effort > 0
}

// comparison finds the lines that two texts have in common, in the same order.
type comparison struct {
	a, b        []int
	effort      *int
	stays, came []bool // lines of a and b that are in both
	todo        []region
	// The lines of the part of a that is looked at: by line its first place, one more than the index,
	// and how often it is there; by place the next one.
	first, count, next []int
}

// region is a part of each text: what is before them is done, and what comes after them.
type region struct {
	a, aEnd, b, bEnd int
	// plain: all lines are too common to begin with one of them.
	plain bool
}

// tooCommon is how often a line may be there to tell where it belongs.
const tooCommon = 64

func (c *comparison) run() bool {
	c.todo = append(c.todo, region{aEnd: len(c.a), bEnd: len(c.b)})
	for len(c.todo) > 0 && *c.effort > 0 {
		r := c.todo[len(c.todo)-1]
		c.todo = c.todo[:len(c.todo)-1]
		if r.plain {
			c.shortest(r)
			continue
		}
		switch same, rare, some := c.anchor(r); {
		case rare:
			c.match(same.a, same.b, same.aEnd-same.a)
			c.todo = append(c.todo, region{r.a, same.a, r.b, same.b, false}, region{same.aEnd, r.aEnd, same.bEnd, r.bEnd, false})
		case some:
			r.plain = true
			c.todo = append(c.todo, r)
		}
	}
	return *c.effort > 0
}

func (c *comparison) match(a, b, n int) {
	for i := range n {
		c.stays[a+i], c.came[b+i] = true, true
	}
}

// anchor finds lines in a row that are the same in both parts of a region: of those with the rarest
// line the most. Rare is false if all that are the same are too common, and some if none are.
func (c *comparison) anchor(r region) (same region, rare, some bool) {
	*c.effort -= r.aEnd - r.a + r.bEnd - r.b
	for i := r.aEnd - 1; i >= r.a; i-- {
		line := c.a[i]
		c.next[i], c.first[line] = c.first[line], i+1
		c.count[line]++
	}
	fewest := tooCommon + 1
	for b := r.b; b < r.bEnd; {
		after, at := b+1, c.first[c.b[b]]
		some = some || at > 0
		if c.count[c.b[b]] > fewest {
			at = 0
		}
		for at > 0 && *c.effort > 0 {
			found, times := c.extend(r, at-1, b)
			if found.aEnd-found.a > max(same.aEnd-same.a, 1) || times < fewest {
				same, fewest = found, times
			}
			after = max(after, found.bEnd)
			for at > 0 && at <= found.aEnd {
				at = c.next[at-1]
			}
		}
		b = after
	}
	for _, line := range c.a[r.a:r.aEnd] {
		c.first[line], c.count[line] = 0, 0
	}
	return same, fewest <= tooCommon, some
}

// extend finds how many lines are the same before and after one that is, and how often the rarest of
// them is there.
func (c *comparison) extend(r region, a, b int) (same region, times int) {
	same = region{a: a, aEnd: a + 1, b: b, bEnd: b + 1}
	times = c.count[c.a[a]]
	for same.a > r.a && same.b > r.b && c.a[same.a-1] == c.b[same.b-1] {
		same.a, same.b = same.a-1, same.b-1
		times = min(times, c.count[c.a[same.a]])
	}
	for same.aEnd < r.aEnd && same.bEnd < r.bEnd && c.a[same.aEnd] == c.b[same.bEnd] {
		times = min(times, c.count[c.a[same.aEnd]])
		same.aEnd, same.bEnd = same.aEnd+1, same.bEnd+1
	}
	*c.effort -= same.aEnd - same.a
	return same, times
}

// shortest splits a region in two, such that the fewest lines differ (Myers 1986).
func (c *comparison) shortest(r region) {
	for r.a < r.aEnd && r.b < r.bEnd && c.a[r.a] == c.b[r.b] {
		c.match(r.a, r.b, 1)
		r.a, r.b = r.a+1, r.b+1
	}
	for r.a < r.aEnd && r.b < r.bEnd && c.a[r.aEnd-1] == c.b[r.bEnd-1] {
		r.aEnd, r.bEnd = r.aEnd-1, r.bEnd-1
		c.match(r.aEnd, r.bEnd, 1)
	}
	if r.a == r.aEnd || r.b == r.bEnd {
		return
	}
	a, b := c.middle(r)
	c.todo = append(c.todo, region{r.a, a, r.b, b, true}, region{a, r.aEnd, b, r.bEnd, true})
}

// middle finds a place on the shortest way through a region that begins and ends with lines that differ:
// it looks from both ends until the two meet. On the way are k more lines of a than of b.
func (c *comparison) middle(r region) (int, int) {
	a, b := c.a[r.a:r.aEnd], c.b[r.b:r.bEnd]
	n, m := len(a), len(b)
	half := (n+m)/2 + 1
	down, up := make([]int, 2*half+3), make([]int, 2*half+3) // how far in a, by k, from each end
	zero := half + 1
	// step goes one line further from where the last round came to, and along all that is the same.
	step := func(far []int, k, round int, same func(x, y int) bool) int {
		x := 0
		switch {
		case round == 0:
		case k == -round || k != round && far[zero+k-1] < far[zero+k+1]:
			x = far[zero+k+1]
		default:
			x = far[zero+k-1] + 1
		}
		*c.effort--
		for x < n && x-k < m && same(x, x-k) {
			x++
			*c.effort--
		}
		far[zero+k] = x
		return x
	}
	for round := range half + 1 {
		for k := -round; k <= round && *c.effort > 0; k += 2 {
			x := step(down, k, round, func(x, y int) bool { return a[x] == b[y] })
			if other := n - m - k; (n-m)%2 != 0 && other > -round && other < round && x+up[zero+other] >= n {
				return r.a + x, r.b + x - k
			}
		}
		for k := -round; k <= round && *c.effort > 0; k += 2 {
			x := step(up, k, round, func(x, y int) bool { return a[n-1-x] == b[m-1-y] })
			if other := n - m - k; (n-m)%2 == 0 && other >= -round && other <= round && x+down[zero+other] >= n {
				return r.aEnd - x, r.bEnd - x + k
			}
		}
	}
	return r.a, r.b // the effort is used up
}

// places lists where something is true.
func places(is []bool) []int {
	var list []int
	for i, yes := range is {
		if yes {
			list = append(list, i)
		}
	}
	return list
}

// gap is what a text of some length has between two places, after the n-th: those lines differ.
func gap(at []int, n, length int) (from, to int) {
	to = length
	if n > 0 {
		from = at[n-1] + 1
	}
	if n < len(at) {
		to = at[n]
	}
	return from, to
}

// slide settles where lines were added among some that look the same, as behind which of the closing
// brackets: as far down as it goes, or else, further up, where the other text differs too.
func slide(text, at, other []int, otherLength int, effort *int) {
	up := func(n int) bool {
		from, to := gap(at, n, len(text))
		if *effort--; n == 0 || *effort < 0 || text[from-1] != text[to-1] {
			return false
		}
		at[n-1] = to - 1
		return true
	}
	down := func(n int) bool {
		from, to := gap(at, n, len(text))
		if *effort--; n == len(at) || *effort < 0 || text[from] != text[to] {
			return false
		}
		at[n] = from
		return true
	}
	size := func(n int) int {
		from, to := gap(at, n, len(text))
		return to - from
	}
	differs := func(n int) bool {
		from, to := gap(other, n, otherLength)
		return from < to
	}
	for n := 0; n <= len(at); n++ {
		together := -1 // the last place where the other text differs too
		for before := 0; before != size(n); {
			before = size(n)
			for up(n) {
				n--
			}
			if together = -1; differs(n) {
				together = n
			}
			for down(n) {
				if n++; differs(n) {
					together = n
				}
			}
		}
		for n > together && together >= 0 && up(n) {
			n--
		}
	}
}
