package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// clients ask a model without end, as applications in a cluster do: at the address of its
// Service, each one request after the other. None asks again what has failed: a request that
// does not get a right answer is a failure of the test.
type clients struct {
	url string
	// right is what each version is to answer; another version is to answer nothing.
	right map[string]float64
	all   []*asker
	stop  func() // and wait for what is under way
}

// asker is one of the clients.
type asker struct {
	name  string
	keeps bool          // its connection, from request to request
	pause time.Duration // between two requests
	http  http.Client

	mu       sync.Mutex
	asked    int
	failures []string
	told     []told
}

// told is what a client was told in a row by the same version.
type told struct {
	version     string
	times       int
	first, last time.Time
}

// Those who keep their connection stay with their Pod for as long as it lets them. Those who open
// one for each request go where the Service leads at that moment.
const (
	keeping = 4
	opening = 4
)

// startClients has them begin.
func startClients(t *testing.T, url string, right map[string]float64) *clients {
	c := &clients{url: url, right: right}
	for n := range keeping {
		c.add(fmt.Sprintf("keeping-%d", n), true, 10*time.Millisecond)
	}
	for n := range opening {
		c.add(fmt.Sprintf("opening-%d", n), false, 25*time.Millisecond) // ports are finite
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, a := range c.all {
		running.Go(func() {
			for ctx.Err() == nil {
				c.once(a)
				time.Sleep(a.pause)
			}
		})
	}
	c.stop = sync.OnceFunc(func() {
		stop()
		running.Wait()
	})
	t.Cleanup(c.stop)
	return c
}

func (c *clients) add(name string, keeps bool, pause time.Duration) {
	c.all = append(c.all, &asker{name: name, keeps: keeps, pause: pause, http: http.Client{
		Timeout:   30 * time.Second, // nobody waits longer
		Transport: &http.Transport{DisableKeepAlives: !keeps},
	}})
}

// once makes one request.
func (c *clients) once(a *asker) {
	began := time.Now()
	version, err := c.predict(a)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	now := time.Now()
	if err != nil {
		a.failures = append(a.failures, fmt.Sprintf("%s, begun %s, after %s: %v", a.name, began.Format("15:04:05.000"), now.Sub(began), err))
		return
	}
	if n := len(a.told); n == 0 || a.told[n-1].version != version {
		a.told = append(a.told, told{version: version, first: now})
	}
	last := &a.told[len(a.told)-1]
	last.times++
	last.last = now
}

// predict asks for a prediction and returns which version gave it.
func (c *clients) predict(a *asker) (version string, err error) {
	request, err := http.NewRequest(http.MethodPost, c.url, strings.NewReader(`{"instances": [[1, 2]]}`))
	if err != nil {
		return "", err
	}
	request.GetBody = nil // or else http.Client asks again by itself
	answer, err := a.http.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	var got struct {
		Version     string
		Predictions []float64
	}
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %.200s", answer.Status, body)
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return "", fmt.Errorf("%w: %.200s", err, body)
	}
	right, known := c.right[got.Version]
	if !known || len(got.Predictions) != 1 || got.Predictions[0] != right {
		return "", fmt.Errorf("a wrong answer: %.200s", body)
	}
	return got.Version, nil
}

// now is what a client was told last, and how many requests it has made.
func (a *asker) now() (last told, asked int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.told); n > 0 {
		last = a.told[n-1]
	}
	return last, a.asked
}

// hear returns a condition: from now on, each client is told a number of times, at last by this
// version.
func (c *clients) hear(version string, times int) func() (bool, string) {
	before := map[*asker]int{}
	for _, a := range c.all {
		_, before[a] = a.now()
	}
	return func() (bool, string) {
		for _, a := range c.all {
			if last, asked := a.now(); last.version != version || asked < before[a]+times {
				return false, fmt.Sprintf("%s has made %d requests, and was told by %q", a.name, asked-before[a], last.version)
			}
		}
		return true, ""
	}
}

// asked is how many requests were made.
func (c *clients) asked() int {
	n := 0
	for _, a := range c.all {
		_, asked := a.now()
		n += asked
	}
	return n
}

// failures of all clients.
func (c *clients) failures() []string {
	var all []string
	for _, a := range c.all {
		a.mu.Lock()
		all = append(all, a.failures...)
		a.mu.Unlock()
	}
	return all
}

// changes is which versions a client was told, in this order: "v7 v8".
func (a *asker) changes() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var versions []string
	for _, t := range a.told {
		versions = append(versions, t.version)
	}
	return strings.Join(versions, " ")
}

// first is when a version answered anybody for the first time since then.
func (c *clients) first(version string, since time.Time) (first time.Time) {
	for _, a := range c.all {
		a.mu.Lock()
		for _, t := range a.told {
			if t.version == version && t.first.After(since) && (first.IsZero() || t.first.Before(first)) {
				first = t.first
			}
		}
		a.mu.Unlock()
	}
	return first
}

// last is when a version answered anybody for the last time.
func (c *clients) last(version string) (last time.Time) {
	for _, a := range c.all {
		if t := a.last(version); t.After(last) {
			last = t
		}
	}
	return last
}

// last is when a version answered a client for the last time.
func (a *asker) last(version string) (last time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.told {
		if t.version == version {
			last = t.last
		}
	}
	return last
}
