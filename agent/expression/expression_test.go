package expression

import (
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/decimal"
)

// car is an object of the tests.
type car struct {
	plate  string
	size   int64
	doors  map[string]string
	owners map[string]string
	age    time.Duration
	broken bool
}

var carType = ObjectType("Car")

func field[T any](t Type, get func(*car) T) Field {
	return Field{t, func(o any) (any, error) { return get(o.(*car)), nil }}
}

var language = New(map[string]Type{"mine": carType, "yours": carType, "name": Text, "ok": Flag, "value": Number, "now": Time},
	Object{carType, map[string]Field{
		"plate":  field(Text, func(c *car) string { return c.plate }),
		"size":   field(Number, func(c *car) decimal.Decimal { return decimal.Of(c.size) }),
		"doors":  field(Numbers, func(c *car) any { return NumberTable(c.doors, "door", "car "+c.plate) }),
		"owners": field(Texts, func(c *car) any { return TextTable(c.owners, "owner", "car "+c.plate) }),
		"age":    field(Duration, func(c *car) time.Duration { return c.age }),
		"broken": field(Flag, func(c *car) bool { return c.broken }),
		"bought": {Time, func(any) (any, error) { return nil, errors.New("nobody knows when it was bought") }},
	}})

func values() map[string]any {
	return map[string]any{
		"mine": Value(carType, &car{plate: "A", size: 5, age: 90 * time.Minute, broken: true,
			doors:  map[string]string{"front": "0.941", "back": "0.938", "odd": "NaN", "long": strings.Repeat("1", 500)},
			owners: map[string]string{"first": "Ann", "second": "Bob\n\x1b[31m"}}),
		"yours": nil, "name": "x", "ok": true, "now": time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), "value": decimal.Of(7),
	}
}

func naming(path []string) string { return strings.Join(path, "'s ") }

func eval(t testing.TB, text string) (Verdict, error) {
	t.Helper()
	e, err := language.Compile(text)
	if err != nil {
		return Verdict{}, err
	}
	return e.Eval(values(), naming)
}

func TestTruth(t *testing.T) {
	for _, text := range []string{
		"0.1 + 0.2 == 0.3", "0.941 >= 0.943 - 0.002", "!(0.941 > 0.943 - 0.002)", "1 / 3 * 3 == 1", "1 / 3 + 1 / 3 + 1 / 3 == 1.0",
		"2 == 2.0", "2u == 2", "1e3 == 1000", "-0.5 == -(1 / 2)", "- 0.5 < 0", "-0.5 == 0 - .5", "0.30000000000000004 > 0.3",
		"0.12345678901234567890123456789 > 0.12345678901234567890123456788", "0.1e-3 == 0.0001", "// é𝕏\n0.7\n!= 0.70000000000000000000001", "'é𝕏' != '' && 0.7 < 0.70000000000000000000001",
		"mine.doors.front > mine.doors.back", "mine.doors['front'] - 0.002 <= 0.939", "0.9 < mine.doors.front", "mine.doors.front / mine.doors.back > 1",
		"-mine.doors.front == -0.941", "value == 7", "7 == value", "value in [1, 7.0]", "!(value in [1, 2])", "value + 1 == 8",
		"mine.size == 5", "mine.size * 1.5 == 7.5", "size(mine.doors) == 4", "mine.doors.size() > 3.5", "size('abc') == 3", "[1, 2].size() == 2", "'abc'.size() / 2 == 1.5",
		"has(mine.doors.front)", "!has(mine.doors.roof)", "'front' in mine.doors", "!('roof' in mine.doors)", "has(mine.plate)", "!has(mine.bought)", "!has(yours.plate)",
		"mine.owners.first == 'Ann'", "mine.owners['first'].startsWith('A')", "mine.owners.exists(o, mine.owners[o] == 'Ann')", "mine.owners.all(o, size(o) > 3)", "mine.owners.all(o, mine.owners[o] == mine.owners[o])",
		"mine.doors.exists_one(d, d == 'front')", "size(mine.doors.filter(d, d.contains('o'))) == 3", "[1, 2, 3].map(n, n * 2) == [2, 4, 6]", "[0.1, 0.2].all(n, n < 0.3)",
		"yours == null", "mine != null", "mine == mine", "ok || yours.size > 3", "yours.size > 3 || ok", "ok ? true : yours.broken", "!(!ok && yours.size > 3)",
		"mine.age < duration('2h')", "now - duration('1h') < now", "now > timestamp('2026-01-01T00:00:00Z')", "mine.age + duration('30m') == duration('2h')",
		"mine.owners == mine.owners", "mine.doors.map(d, d).size() == 4", "mine.owners != {'first': 'Ann'}", "name + 'y' == 'xy'", "name < 'y'", "ok == true", "(ok ? 1 : 2) == 1", "ok ? ok : false", "name in ['x', 'y']",
	} {
		if v, err := eval(t, text); err != nil || !v.True {
			t.Errorf("%s: %v, %v", text, v, err)
		}
	}
}

func TestWhy(t *testing.T) {
	for text, want := range map[string]string{
		"mine.doors.back >= 0.941":                    "mine's doors's back is 0.938, and at least 0.941 is needed",
		"0.941 <= mine.doors.back":                    "mine's doors's back is 0.938, and at least 0.941 is needed",
		"mine.doors.back >= mine.doors.front - 0.002": "mine's doors's back is 0.938, and at least 0.941 - 0.002 = 0.939 is needed",
		"mine.doors.back > mine.doors['front']":       "mine's doors's back is 0.938, and more than 0.941 (mine's doors's front) is needed",
		"mine.size < 5":                               "mine's size is 5, and less than 5 is needed",
		"mine.size <= 4":                              "mine's size is 5, and at most 4 is allowed",
		"mine.size == 4":                              "mine's size is 5, and 4 is needed",
		"mine.size != 5":                              "mine's size is 5, and anything but 5 is needed",
		"mine.doors.back / mine.doors.front > 1":      "mine's doors's back / mine's doors's front is 0.938 / 0.941 = about 0.9968119022, and more than 1 is needed",
		"(mine.size - (value - 1)) * -2 > 3":          "(mine's size - (value - 1)) * -2 is (5 - (7 - 1)) * -2 = 2, and more than 3 is needed",
		"mine.size - value - 1 > 3":                   "mine's size - value - 1 is 5 - 7 - 1 = -3, and more than 3 is needed",
		"-(mine.size + 1) > 3":                        "-(mine's size + 1) is -(5 + 1) = -6, and more than 3 is needed",
		"mine.owners.first == 'Bob'":                  `mine's owners's first is "Ann", and "Bob" is needed`,
		"mine.owners.second == ''":                    `mine's owners's second is "Bob\n\x1b[31m", and "" is needed`,
		"name in ['y', 'z']":                          `name is "x", and one of "y", "z" is needed`,
		"name.startsWith('y')":                        `name is "x"`,
		"mine.age < duration('1h30m')":                "mine's age is 1h30m, and less than 1h30m is needed",
		"now < timestamp('2026-01-01T00:00:00Z')":     "now is 2026-11-25 12:00:00 UTC, and less than 2026-01-01 00:00:00 UTC is needed",
		"!mine.broken":                                "mine's broken is true",
		"!ok":                                         "ok is true",
		"yours != null":                               "yours is nothing, and anything but nothing is needed",
		"has(mine.doors.roof)":                        "mine's doors's roof is not there",
		"!has(mine.doors.front)":                      "mine's doors's front is there",
		"mine.size > 3 && value > 8":                  "value is 7, and more than 8 is needed",
		"value > 8 && mine.size > 3":                  "value is 7, and more than 8 is needed",
		"value > 8 || mine.size > 6":                  "value is 7, and more than 8 is needed; mine's size is 5, and more than 6 is needed",
		"!(value < 8)":                                "value is 7, and at least 8 is needed",
		"!(value < 8 || value > 9)":                   "value is 7, and at least 8 is needed",
		"!(value > 6 && !(value > 7))":                "value is 7, and at most 6 is allowed; value is 7, and more than 7 is needed",
		"!(name in ['x', 'y'])":                       `name is "x", and none of "x", "y" is allowed`,
		"ok ? value > 8 : value > 9":                  "value is 7, and more than 8 is needed",
		"!ok ? value > 8 : value > 9":                 "value is 7, and more than 9 is needed",
		"mine.doors.all(d, mine.doors[d] > 1000)":     "",
		"false":                      "",
		"1 > 2":                      "",
		"size(mine.owners) > 2":      "the size of mine's owners is 2, and more than 2 is needed",
		"mine.owners.size() * 2 > 5": "the size of mine's owners * 2 is 2 * 2 = 4, and more than 5 is needed",
		"mine.doors.back > mine.doors.front || yours == mine || !ok":    "mine's doors's back is 0.938, and more than 0.941 (mine's doors's front) is needed; yours is nothing, and … (mine) is needed; ok is true",
		"mine.owners.exists(o, o == 'x') || mine.doors.front > 1 && ok": "mine's doors's front is 0.941, and more than 1 is needed",
	} {
		v, err := eval(t, text)
		if err != nil || v.True || !strings.HasPrefix(v.Why, want) || (want == "") != (v.Why == "") {
			t.Errorf("%s:\n got %q, %v\nwant %q", text, v.Why, err, want)
		}
	}
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"mine.doors.roof > 1":                    "car A has no door roof",
		"mine.doors['a\\nb'] > 1":                "car A has no door a b",
		"mine.doors.odd > 1":                     `door odd of car A is "NaN", which is no decimal number`,
		"mine.doors.long > 1":                    "door long of car A is longer than the 400 characters that a number may have",
		"mine.doors.all(d, mine.doors[d] > 0)":   "door long of car A is longer",
		"mine.owners.third == 'x'":               "car A has no owner third",
		"mine.bought < now":                      "nobody knows when it was bought",
		"mine.doors.front / (mine.size - 5) > 1": "the expression cannot be judged, for it divides by zero: mine's doors's front is 0.941, mine's size is 5",
		"1 / 0 > 1":                              "the expression cannot be judged, for it divides by zero",
		"value * 1e300 * 1e300 * 1e300 * 1e300 * 1e300 * 1e300 * 1e300 * 1e300 * 1e300 * 1e300 * 1e300 * 1e300 * 1e300 * 1e300 * 1e300 * 1e300 * 1e300 > 1": "the expression cannot be judged, for it comes to a number with too many digits: value is 7",
		"duration(name) > mine.age": "the expression cannot be judged: type conversion error from 'string' to",
		"{'a': 1}['b'] > 0":         "the expression cannot be judged: no such key: b",
	} {
		if v, err := eval(t, text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s:\n got %v, %v\nwant %s", text, v, err, want)
		}
	}
	for _, text := range []string{"yours.size > 1", "yours.doors.front > 1", "has(yours.doors.front)", "ok && yours.size > 1", "yours.doors.all(d, true)", "mine.size > yours.size"} {
		if v, err := eval(t, text); !errors.Is(err, ErrNull) {
			t.Errorf("%s: %v, %v", text, v, err)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "the expression is empty: write what has to be true",
		" \n":                                   "the expression is empty",
		"mine.doors.front >":                    "the expression does not compile at 1:19: it ends where something has to follow: complete it",
		"ok &&\n  thine.size > 1":               "the expression does not compile at 2:3: there is no thine: mend its spelling, or use what there is",
		"mine.door.front > 1":                   "the expression does not compile at 1:5: there is no field door: mend its spelling, or use one that there is",
		"mine.doors.front > 'x'":                "the expression does not compile at 1:18: > does not go between a number and a string: give it two of one kind",
		"mine.doors.front":                      "the expression gives a number, and has to give true or false: compare it with something",
		"mine":                                  "the expression gives a Car, and",
		"null":                                  "the expression gives a null_type, and",
		"[]":                                    "the expression gives a list(",
		"name.matches('.*')":                    "the expression does not compile at 1:13: there is no matches: mend its spelling, or use what there is",
		"int(value) == 7":                       "the expression does not compile at 1:4: there is no int: mend its spelling",
		"value % 2 == 1":                        "the expression does not compile at 1:7: there is no %: mend its spelling",
		"Car{size: 1} == mine":                  "the expression makes a Car at 1:4, which it cannot: compare fields",
		"@number == 1":                          "the expression does not compile at 1:1: token recognition error",
		"duration('soon') < mine.age":           "the expression does not compile at 1:10: invalid duration argument",
		"value > 1e400":                         "the expression does not compile at 1:9: invalid double literal",
		"value > 99999999999999999999":          "the expression does not compile at 1:9: invalid int literal",
		"value > 0." + strings.Repeat("1", 500): "the number at 1:9 is longer than the 400 characters",
		"[1, 'a'].size() > 0":                   "the expression does not compile at 1:5: expected type 'number' but found 'string'",
		"[1, 2][0] == 1":                        "the expression does not compile at 1:7: found no matching overload for '_[_]'",
		"\x00\xff":                              "the expression does not compile at 1:1: token recognition error",
		"ok" + strings.Repeat(" ", 5000):        "the expression is longer than 4096 characters: shorten it",
		strings.Repeat("(", 2000):               "the expression is nested more than 64 deep: simplify it",
		"value" + strings.Repeat("+1", 2000) + " > 1": "the expression is nested more than 64 deep",
		"mine.doors.all(a, mine.doors.all(b, ok))":    "the expression may take more than 10000 steps: put fewer of",
	} {
		e, err := language.Compile(text)
		if err == nil || !strings.HasPrefix(err.Error(), want) || len(err.Error()) > 400 {
			t.Errorf("%.80q:\n got %v, %v\nwant %s", text, e, err, want)
		}
	}
}

func many(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[strconv.Itoa(i)] = ""
	}
	return m
}

// A map that is larger than evidence ever is passes the estimate, and is stopped by the count.
func TestCostIsCounted(t *testing.T) {
	e, err := language.Compile("mine.owners.all(o, ok)")
	if err != nil {
		t.Fatal(err)
	}
	with := values()
	with["mine"] = Value(carType, &car{owners: many(20000)})
	if v, err := e.Eval(with, naming); err == nil || err.Error() != "the expression takes more than 10000 steps: make it simpler" {
		t.Errorf("%v, %v", v, err)
	}
}

// Long numbers cost more than short ones, so that a thousand of them cannot hold up the agent.
func TestLongNumbersAreDear(t *testing.T) {
	few, many := "[1, 2].all(n, value * value * value * n > 0)", "["+strings.Repeat("1,", 400)+"1].all(n, value * value * value * n > 0)"
	with := values()
	with["value"], _ = decimal.Parse("1.2345678901234567e-999")
	for text, want := range map[string]bool{few: true, many: false} {
		e, err := language.Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := e.Eval(with, naming); v.True != want || (err == nil) != want {
			t.Errorf("%.30s: %v, %v", text, v, err)
		}
	}
}

// What an expression says of two decimals is what holds for their thousandfold.
func TestExactness(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		a, b, c := random.Int64N(2000)-1000, random.Int64N(2000)-1000, random.Int64N(200)
		text := fmt.Sprintf("mine.doors.front >= yours.doors.front - %s", big.NewRat(c, 1000).FloatString(3))
		with := values()
		for name, n := range map[string]int64{"mine": a, "yours": b} {
			with[name] = Value(carType, &car{doors: map[string]string{"front": big.NewRat(n, 1000).FloatString(3)}})
		}
		e, err := language.Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := e.Eval(with, naming); err != nil || v.True != (a >= b-c) {
			t.Fatalf("%d/1000 >= %d/1000 - %d/1000: %v, %v", a, b, c, v, err)
		}
	}
}

func TestMentions(t *testing.T) {
	for text, want := range map[string]bool{
		"now < timestamp('2026-01-01T00:00:00Z')": true, "mine.age < duration('1h')": false, "yours.plate == 'now'": false, "ok && [now].size() > 0": true,
		"[1].exists(n, ok || now == now)": true, "name == 'now'": false, "has(mine.age)": false,
	} {
		e, err := language.Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Mentions("now"); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	e, err := language.Compile("[1].exists(n, mine.age < duration('1h')) && mine.owners['age'] == name")
	if err != nil {
		t.Fatal(err)
	}
	if !e.Mentions("mine", "age") || e.Mentions("yours", "age") || !e.Mentions("mine", "owners", "age") || e.Mentions("age") {
		t.Error("paths are mistaken")
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 12 * time.Minute: "12m", 90 * time.Minute: "1h30m", 8 * time.Hour: "8h", 720 * time.Hour: "720h", time.Hour + time.Second: "1h0m1s",
		-5 * time.Minute: "-5m", 1500 * time.Millisecond: "1s", 200 * time.Millisecond: "200ms", 10 * time.Second: "10s",
	} {
		if got := Span(d); got != want {
			t.Errorf("%d is %s, want %s", d, got, want)
		}
	}
}

func TestTextsAreCompiledOnceAndNotKeptForEver(t *testing.T) {
	l := New(map[string]Type{"ok": Flag})
	first, err := l.Compile("ok")
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := l.Compile("ok"); again != first {
		t.Error("the text was compiled again")
	}
	for n := range 3 * kept {
		if _, err := l.Compile(fmt.Sprintf("ok || !!%d", n)); err == nil {
			t.Fatal("it compiles")
		}
		if len(l.compiled) > kept {
			t.Fatalf("%d are kept", len(l.compiled))
		}
	}
}

func TestParallelUse(t *testing.T) {
	l := New(map[string]Type{"value": Number})
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for range 50 {
				e, err := l.Compile(fmt.Sprintf("value / 3 < 2 + %d", n%3))
				if err != nil {
					t.Error(err)
					return
				}
				if v, err := e.Eval(map[string]any{"value": decimal.Of(7)}, naming); err != nil || v.True != (n%3 > 0) {
					t.Error(v, err)
				}
			}
		})
	}
	all.Wait()
}

func FuzzCompile(f *testing.F) {
	for _, text := range []string{
		"mine.doors.front >= yours.doors.front - 0.002", "ok || yours == null", "mine.doors.all(d, mine.doors[d] > 1e3)", "!(-value in [1, .5]) ? ok : has(mine.plate)",
		"now - duration('1h') < timestamp('2026-01-01T00:00:00Z') && size(name + 'x') / 3 == 1u", "{'a': 1}['a'] == 1 && name.contains('x')", "[[1], []].map(l, l.size()).exists_one(n, n > 0)",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := eval(t, text)
		if err != nil {
			v.Why = err.Error()
		}
		if strings.Contains(v.Why, "internal error") || err != nil && v.Why == "" {
			t.Errorf("%q: %s", text, v.Why)
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := language.compile("mine.doors.back >= mine.doors.front - 0.002"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEval(b *testing.B) {
	e, err := language.Compile("mine.doors.back >= mine.doors.front - 0.002")
	if err != nil {
		b.Fatal(err)
	}
	with := values()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Eval(with, naming); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDearest(b *testing.B) {
	for _, text := range []string{"mine.owners.all(o, ok)", "[" + strings.Repeat("1,", 1300) + "1].all(n, n > 0)"} {
		b.Run(text[:10], func(b *testing.B) {
			e, err := language.Compile(text)
			if err != nil {
				b.Fatal(err)
			}
			with := values()
			with["mine"] = Value(carType, &car{owners: many(20000)})
			for b.Loop() {
				_, _ = e.Eval(with, naming)
			}
		})
	}
}
