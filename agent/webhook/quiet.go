package webhook

import (
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// between two lines of the log about the same.
	between = time.Minute
	// mostTopics that lines are held back of. Beyond, one is forgotten and may say something again.
	mostTopics = 1024
)

// quiet tells the operator of hooks that were refused, but not of every single one.
type quiet struct {
	log logr.Logger

	mu   sync.Mutex
	said map[topic]*said
}

// topic is one result at one Repository; for those that are not there, whose names anybody can make
// up, it is the result alone.
type topic struct {
	result     string
	repository types.NamespacedName
}

// said is when a topic was logged last, and how many lines were held back since.
type said struct {
	at   time.Time
	held int
}

// refused logs a hook that was refused, if that was not logged a moment ago.
func (q *quiet) refused(k *hook, provider string, a answer, now time.Time) {
	about := topic{result: a.result}
	if k.known {
		about.repository = k.repository
	}
	held, due := q.due(about, now)
	if !due {
		return
	}
	values := []any{"provider", provider, "result", a.result, "status", a.status, "why", why(k, a), "alike", held}
	if plainName.MatchString(k.repository.Namespace) && plainName.MatchString(k.repository.Name) {
		values = append(values, "namespace", k.repository.Namespace, "name", k.repository.Name)
	}
	q.log.Info("a hook was refused", values...)
}

// why says to the operator what the answer does not say.
func why(k *hook, a answer) string {
	switch {
	case a.result != refused.result:
		return a.text
	case k.sender == nil || k.sender.signature(k.header) == "":
		return "it is not signed: give the hook the secret that spec.receiver.secretRef of the Repository names"
	case !k.known:
		return "there is no such Repository, it has no spec.receiver, or the Secret that this names has no token: create what is missing, or correct the hook's URL"
	case k.sender == gitlab:
		return "its token or signature is wrong, or its date is minutes away from our clock: give the hook the token of the Secret that spec.receiver.secretRef names, and see to the clocks"
	}
	return "its signature is wrong: give the hook the token of the Secret that spec.receiver.secretRef names"
}

// due tells whether to log something about a topic, and how many lines were held back since the
// last one.
func (q *quiet) due(about topic, now time.Time) (held int, due bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if last, ok := q.said[about]; ok {
		if passed := now.Sub(last.at); passed >= 0 && passed < between {
			last.held++
			return 0, false
		}
		held = last.held
		*last = said{at: now}
		return held, true
	}
	if q.said == nil {
		q.said = map[topic]*said{}
	}
	for other := range q.said {
		if len(q.said) < mostTopics {
			break
		}
		delete(q.said, other)
	}
	q.said[about] = &said{at: now}
	return 0, true
}
