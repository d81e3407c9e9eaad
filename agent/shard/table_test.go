package shard

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

// holders counts the shards of each replica, as they are and as they will be.
func holders(t Table) (now, then map[string]int) {
	now, then = map[string]int{}, map[string]int{}
	for _, seat := range t {
		now[seat.Holder]++
		if seat.Next != "" {
			then[seat.Next]++
		} else {
			then[seat.Holder]++
		}
	}
	return now, then
}

func TestDivide(t *testing.T) {
	one := Table{}.Divide([]string{"a"})
	if now, _ := holders(one); now["a"] != Count {
		t.Fatalf("the only replica does not have everything: %v", now)
	}

	two := one.Divide([]string{"b", "a"})
	if now, then := holders(two); now["a"] != Count || then["a"] != Count/2 || then["b"] != Count/2 {
		t.Errorf("while a lives, it has everything until it lets go: now %v, then %v", now, then)
	}
	if two.Held("a").Len() != Count/2 || two.Held("b").Len() != 0 {
		t.Error("a goes on with what somebody waits for, or b begins before a has let go")
	}

	var everything Set
	for n := range everything {
		everything[n] = true
	}
	released := two.Release("a", everything)
	if now, then := holders(released); now["a"] != Count/2 || now["b"] != Count/2 || then["b"] != Count/2 {
		t.Errorf("a lets go only of what b waits for: now %v, then %v", now, then)
	}
	if again := released.Divide([]string{"a", "b"}); again != released {
		t.Error("a fair table changes")
	}

	back := two.Divide([]string{"a"})
	if back != one {
		t.Error("b dies before it had anything: everything stays with a")
	}
	dead := two.Divide([]string{"b"})
	if now, _ := holders(dead); now["b"] != Count {
		t.Errorf("a dies: b has everything at once: %v", now)
	}
	if two.Divide(nil) != two {
		t.Error("without anybody alive the table changes")
	}
}

// Replicas come, die and let go in any order. Every shard is always on its way to somebody who
// lives, all have about the same, nobody who lives loses a shard without letting go, and no more
// shards move than must.
func TestDivideInAnyOrder(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		var table Table
		var alive []string
		for step := range 60 {
			switch {
			case len(alive) < 2 || random.IntN(3) == 0 && len(alive) < 12:
				alive = append(alive, fmt.Sprintf("r%d", step))
			case random.IntN(2) == 0:
				alive = slices.Delete(alive, 0, 1)
			default:
				var some Set
				for n := range some {
					some[n] = random.IntN(2) == 0
				}
				table = table.Release(alive[random.IntN(len(alive))], some)
			}
			before := table
			random.Shuffle(len(alive), func(i, j int) { alive[i], alive[j] = alive[j], alive[i] })
			table = table.Divide(alive)
			if shuffled := before.Divide(slices.Sorted(slices.Values(alive))); shuffled != table {
				t.Fatalf("seed %d: the order of the names counts", seed)
			}
			_, then := holders(table)
			least, most, sum := Count, 0, 0
			for _, replica := range alive {
				least, most, sum = min(least, then[replica]), max(most, then[replica]), sum+then[replica]
			}
			if sum != Count || most-least > 1 {
				t.Fatalf("seed %d, step %d: not fair: %v of %v", seed, step, then, alive)
			}
			for n := range table {
				if was := before[n].Holder; slices.Contains(alive, was) && table[n].Holder != was {
					t.Fatalf("seed %d, step %d: %s lives and loses shard %d", seed, step, was, n)
				}
			}
		}
	}
}

func TestParse(t *testing.T) {
	table := Table{}.Divide([]string{"a", "b"}).Divide([]string{"a", "b", "c"})
	if read, err := Parse(table.String()); err != nil || read != table {
		t.Errorf("what was written is read as %v, %v", read, err)
	}
	if read, err := Parse(""); err != nil || read != (Table{}) {
		t.Errorf("no table is %v, %v", read, err)
	}
	for _, text := range []string{"x", "{}", "[]", `[{"holder":1}]`, `[{"holder":"a"}]`} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%s is read as a table", text)
		}
	}
}

// The shard of a name must never change: replicas of two versions work side by side during an
// update.
func TestOf(t *testing.T) {
	for name, want := range map[string]int{"platform": 15, "models": 25, "pipelines": 29} {
		if is := Of(types.NamespacedName{Namespace: "sluice-system", Name: name}); is != want {
			t.Errorf("%s is in shard %d, and was in %d", name, is, want)
		}
	}
	var hit Set
	for n := range 1000 {
		hit[Of(types.NamespacedName{Namespace: "team", Name: fmt.Sprint("repository-", n)})] = true
	}
	if hit.Len() != Count {
		t.Errorf("1000 names fall into %d shards only", hit.Len())
	}
}
