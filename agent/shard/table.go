package shard

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// Count is the number of shards. It bounds the number of replicas that have work, and must be
// the same in all of them.
const Count = 32

// Of returns the shard that a Repository falls into.
func Of(repository types.NamespacedName) int {
	sum := sha256.Sum256([]byte(repository.String()))
	return int(binary.BigEndian.Uint32(sum[:]) % Count)
}

// Set is a set of shards.
type Set [Count]bool

// Has tells whether a Repository falls into one of the shards.
func (s Set) Has(repository types.NamespacedName) bool { return s[Of(repository)] }

// Empty tells that there is none.
func (s Set) Empty() bool { return s == Set{} }

// Len returns how many there are.
func (s Set) Len() int {
	n := 0
	for _, in := range s {
		if in {
			n++
		}
	}
	return n
}

// Table says who holds each shard.
type Table [Count]Seat

// Seat is one shard in the table.
type Seat struct {
	// Holder is the replica that works on the shard; empty for none.
	Holder string `json:"holder,omitempty"`
	// Next is the replica that gets the shard as soon as the holder has let go of it.
	Next string `json:"next,omitempty"`
}

// goesTo is the replica that the shard is or will be with; empty if that is not alive.
func (s Seat) goesTo(alive []string) string {
	for _, replica := range []string{s.Next, s.Holder} {
		if slices.Contains(alive, replica) {
			return replica
		}
	}
	return ""
}

// Divide returns the table in which every shard is with a replica that is alive, or on its way
// to one, and none has two shards more than another. Shards move only where they must.
func (t Table) Divide(alive []string) Table {
	if len(alive) == 0 {
		return t
	}
	alive = slices.Sorted(slices.Values(alive))
	shares := map[string]int{}
	for _, seat := range t {
		shares[seat.goesTo(alive)]++
	}
	least := func() string {
		return slices.MinFunc(alive, func(a, b string) int { return shares[a] - shares[b] })
	}
	most := func() string {
		return slices.MaxFunc(alive, func(a, b string) int { return shares[a] - shares[b] })
	}
	for n, seat := range t {
		to := seat.goesTo(alive)
		if to == "" {
			to = least()
			shares[to]++
		}
		t[n] = seat.towards(to, alive)
	}
	for n := Count - 1; n >= 0 && shares[most()] > shares[least()]+1; n-- {
		if from, to := t[n].goesTo(alive), least(); shares[from] > shares[to]+1 {
			shares[from]--
			shares[to]++
			t[n] = t[n].towards(to, alive)
		}
	}
	return t
}

// towards sends a shard to a replica: at once if nobody who is alive holds it, and otherwise
// when the holder lets go.
func (s Seat) towards(replica string, alive []string) Seat {
	if s.Holder == replica || !slices.Contains(alive, s.Holder) {
		return Seat{Holder: replica}
	}
	return Seat{Holder: s.Holder, Next: replica}
}

// Release hands the shards over that a replica has let go of and others wait for.
func (t Table) Release(replica string, shards Set) Table {
	for n, seat := range t {
		if shards[n] && seat.Holder == replica && seat.Next != "" {
			t[n] = Seat{Holder: seat.Next}
		}
	}
	return t
}

// Held returns the shards that a replica holds and nobody waits for.
func (t Table) Held(replica string) Set {
	var s Set
	for n, seat := range t {
		s[n] = seat.Holder == replica && seat.Next == ""
	}
	return s
}

// String writes the table for its Lease.
func (t Table) String() string {
	text, err := json.Marshal(t)
	if err != nil {
		panic(err) // strings and numbers can always be written
	}
	return string(text)
}

// Parse reads a table; that of an empty text is empty.
func Parse(text string) (Table, error) {
	var seats []Seat
	if text == "" {
		return Table{}, nil
	}
	if err := json.Unmarshal([]byte(text), &seats); err != nil {
		return Table{}, fmt.Errorf("it is not a list of shards: %w", err)
	}
	if len(seats) != Count {
		return Table{}, fmt.Errorf("it has %d shards, and this version of the agent divides the work into %d", len(seats), Count)
	}
	return Table(seats), nil
}
