package controller

import (
	gosync "sync"
	"time"
)

// answers are found out in the background, and remembered: nobody waits for a render or a forge.
type answers[K comparable, V any] struct {
	mu    gosync.Mutex
	known map[K]*answer[V]
}

type answer[V any] struct {
	value  V
	at     time.Time // when it came; zero until the first has
	asking bool
}

// mostAnswers is how many are remembered; then it is begun anew.
const mostAnswers = 1000

// belated is for how long an answer counts beyond its time, while it is asked for again.
const belated = 30 * time.Second

// ask returns the last answer, if there is one that counts. If there is none, or its time is over, it is
// found out in the background, once, and then is called.
func (a *answers[K, V]) ask(key K, lasts func(V) time.Duration, find func() V, then func()) (value V, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	one := a.known[key]
	if one == nil {
		if a.known == nil || len(a.known) >= mostAnswers {
			a.known = map[K]*answer[V]{}
		}
		one = &answer[V]{}
		a.known[key] = one
	}
	age := time.Since(one.at)
	if !one.at.IsZero() && age < lasts(one.value) {
		return one.value, true
	}
	if !one.asking {
		one.asking = true
		go func() {
			found := find()
			a.mu.Lock()
			one.value, one.at, one.asking = found, time.Now(), false
			a.mu.Unlock()
			then()
		}()
	}
	return one.value, !one.at.IsZero() && age < lasts(one.value)+belated
}
