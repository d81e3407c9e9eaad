package sync_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// crashSeed is $SLUICE_SEED, or new each time.
func crashSeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("SLUICE_SEED")
	if text == "" {
		return uint64(time.Now().UnixNano())
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("SLUICE_SEED: %v", err)
	}
	return seed
}

// state is what a repository of a few overlays wants: ConfigMap names and values by overlay.
type state map[string]map[string]string

func (s state) files() map[string]string {
	files := map[string]string{}
	for overlay, maps := range s {
		text := fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: crash-%s\n", overlay)
		for name, value := range maps {
			text += fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\n  namespace: crash-shared\ndata:\n  value: %q\n", name, value)
		}
		files[overlay+"/objects.yaml"] = text
	}
	return files
}

// mutate changes, adds, removes and moves ConfigMaps.
func (s state) mutate(random *rand.Rand, round int) {
	overlays := []string{"a", "b", "c"}
	for range 6 {
		from, to := overlays[random.IntN(3)], overlays[random.IntN(3)]
		name := fmt.Sprintf("m%02d", random.IntN(30))
		owner := ""
		for _, o := range overlays {
			if _, has := s[o][name]; has {
				owner = o
			}
		}
		switch {
		case owner == "":
			s[to][name] = fmt.Sprint("new in ", round)
		case random.IntN(4) == 0:
			delete(s[owner], name)
		case random.IntN(3) == 0 && owner != to:
			s[to][name] = s[owner][name]
			delete(s[owner], name)
		default:
			s[owner][name] = fmt.Sprint("changed in ", round, " by ", from)
		}
	}
}

// The agent is killed at random moments over a sequence of commits. In the end the cluster is
// what the last commit says: nothing is missing, nothing is left over, and no object was
// created more often than Git asked for.
func TestKilledAtRandomMoments(t *testing.T) {
	seed := crashSeed(t)
	t.Logf("SLUICE_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	const rounds = 12

	r := rig.New(t, cluster.Options{})
	r.Create(namespace("crash-shared"))
	now := state{"a": {}, "b": {}, "c": {}}
	now.mutate(random, 0)
	repo := r.Repository("platform", now.files())
	for overlay := range now {
		r.Overlay(overlay, overlay)
	}
	births := watchBirths(r, "crash-shared")
	r.StartAgent("--parallel=3")
	appearances := map[string]int{}
	before := existing(now)
	for name := range before {
		appearances[name]++
	}
	var last string
	for round := 1; round <= rounds; round++ {
		now.mutate(random, round)
		after := existing(now)
		for name := range after {
			if !before[name] {
				appearances[name]++
			}
		}
		before = after
		last = r.Push(repo, gitserver.Change{Message: fmt.Sprint("round ", round), Files: now.files()})
		r.Ask("platform")
		time.Sleep(time.Duration(random.IntN(1200)) * time.Millisecond) // the random moment
		r.KillAgent()
		r.StartAgent("--parallel=3")
	}
	r.WaitSynced("platform", last)
	r.Eventually("the cluster is what the last commit says", func() (bool, string) { return matches(r, now) })

	created := births()
	for name, n := range created {
		if n > appearances[name] {
			t.Errorf("ConfigMap %s was created %d times, and appeared %d times in Git", name, n, appearances[name])
		}
	}
	for name := range existing(now) {
		if created[name] == 0 {
			t.Errorf("nothing was counted for ConfigMap %s: the test is broken", name)
		}
	}
}

// watchBirths counts from now on how often each ConfigMap of a namespace is created, by the UIDs
// that a watch sees. The audit log would not do: it has no answer to a request whose client was
// killed, and the object may be there all the same. The function it returns ends the count.
func watchBirths(r *rig.Rig, namespace string) (births func() map[string]int) {
	r.T.Helper()
	events, err := r.Client.Watch(context.Background(), &corev1.ConfigMapList{}, client.InNamespace(namespace))
	if err != nil {
		r.T.Fatal(err)
	}
	r.T.Cleanup(events.Stop)
	const last = "the-last-one"
	count, whole := map[string]int{}, make(chan bool, 1)
	go func() {
		seen := map[types.UID]bool{}
		for event := range events.ResultChan() {
			m, ok := event.Object.(*corev1.ConfigMap)
			if !ok {
				break
			}
			if m.Name == last {
				whole <- true
				return
			}
			if !seen[m.UID] && m.Name != "kube-root-ca.crt" {
				seen[m.UID] = true
				count[m.Name]++
			}
		}
		whole <- false
	}()
	return func() map[string]int {
		r.T.Helper()
		r.Create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: last}})
		if !<-whole {
			r.T.Fatal("the watch of the test broke off")
		}
		return count
	}
}

func existing(s state) map[string]bool {
	names := map[string]bool{}
	for _, maps := range s {
		for name := range maps {
			names[name] = true
		}
	}
	return names
}

// matches compares the owned ConfigMaps and the inventories with what Git wants.
func matches(r *rig.Rig, want state) (bool, string) {
	var list corev1.ConfigMapList
	if err := r.Client.List(context.Background(), &list, client.HasLabels{v1alpha1.OverlayLabel}); err != nil {
		return false, err.Error()
	}
	var wrong []string
	got := map[string]bool{}
	for _, m := range list.Items {
		overlay := m.Labels[v1alpha1.OverlayLabel]
		got[m.Name] = true
		if value, wanted := want[overlay][m.Name]; !wanted || value != m.Data["value"] {
			wrong = append(wrong, fmt.Sprintf("%s of %s is %q, want %q", m.Name, overlay, m.Data["value"], value))
		}
	}
	for name := range existing(want) {
		if !got[name] {
			wrong = append(wrong, name+" is missing")
		}
	}
	var inventories v1alpha1.InventoryList
	if err := r.Client.List(context.Background(), &inventories); err != nil {
		return false, err.Error()
	}
	for _, i := range inventories.Items {
		overlay := i.Labels[v1alpha1.OverlayLabel]
		for _, e := range i.Entries {
			if _, wanted := want[overlay][e.Name]; e.Kind == "ConfigMap" && !wanted {
				wrong = append(wrong, "the inventory of "+overlay+" still has "+e.Name)
			}
		}
	}
	return len(wrong) == 0, strings.Join(wrong, "; ")
}

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}
