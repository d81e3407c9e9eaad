package promotion

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// forge takes a while for each proposal, and refuses some.
type forge struct {
	Git
	asked   atomic.Int32
	refuses int32
}

func (f *forge) Propose(context.Context, *v1alpha1.Model, Proposal) (v1alpha1.ProposalStatus, error) {
	time.Sleep(20 * time.Second)
	if f.asked.Add(1) <= f.refuses {
		return v1alpha1.ProposalStatus{}, errors.New("the forge refuses it")
	}
	return v1alpha1.ProposalStatus{Commit: "c0ffee"}, nil
}

// Nobody waits for a proposal. It is made once, and one that is refused is tried again ever more
// rarely, whoever asks how often.
func TestProposals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		git, woken := &forge{refuses: 8}, atomic.Int32{}
		p := &Proposals{Git: git, Made: func(types.NamespacedName) { woken.Add(1) }}
		m := &v1alpha1.Model{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "fraud"}}
		ask := func() (*v1alpha1.ProposalStatus, time.Time, error) {
			return p.ask(m, Proposal{Stage: "production", Version: "v8", Evidence: []string{time.Now().String()}})
		}
		if made, again, err := ask(); made != nil || !again.IsZero() || err != nil {
			t.Fatalf("at once there is %v, %s, %v", made, again, err)
		}
		var pauses []time.Duration
		for {
			time.Sleep(21 * time.Second)
			made, again, err := ask()
			if err == nil {
				if made == nil || made.Commit != "c0ffee" {
					t.Fatalf("it is %v", made)
				}
				break
			}
			pauses = append(pauses, time.Until(again).Round(time.Minute))
			if _, _, same := ask(); !errors.Is(same, err) {
				t.Errorf("asked once more it is %v", same)
			}
			time.Sleep(time.Until(again))
			if made, _, err := ask(); made != nil || err != nil {
				t.Fatalf("it is not tried again: %v, %v", made, err)
			}
		}
		want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60}
		for n, pause := range pauses {
			if pause != want[n]*time.Minute {
				t.Errorf("the pauses were %v, want %v minutes", pauses, want)
				break
			}
		}
		if git.asked.Load() != 9 || woken.Load() != 9 {
			t.Errorf("the forge was asked %d times, and the Model woken %d times", git.asked.Load(), woken.Load())
		}
	})
}

func TestNumberOf(t *testing.T) {
	for name, want := range map[string]int64{"fraud.production.12": 12, "": 0, "fraud": 0, "fraud.production.": 0} {
		if got := numberOf(name); got != want {
			t.Errorf("the number of %q is %d, want %d", name, got, want)
		}
	}
}
