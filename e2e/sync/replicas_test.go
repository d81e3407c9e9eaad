package sync_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	gosync "sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/shard"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Three replicas share the work. While commits keep coming to all Repositories, one of them is
// killed, another frozen for longer than its Lease lasts and thawed, the third ended as a rolling
// update ends it, and replaced. Each time the others take over what it had. No object ever goes
// back to what an older commit says, none is written twice for one commit, and in the end all
// are what the last commits say.
func TestReplicas(t *testing.T) {
	r := rig.New(t, cluster.Options{})
	l := newLoad(r, 12)
	flags := []string{"--share=true", "--namespace=" + r.Namespace, "--lease-duration=5s"}
	one, two, three := r, r.Replica(), r.Replica()
	for _, replica := range []*rig.Rig{one, two, three} {
		replica.StartAgent(flags...)
	}
	divided(r, one, two, three)
	history := watchNumbers(r)
	l.commits(30)

	one.KillAgent()
	l.commits(100) // longer than the Lease lasts
	divided(r, two, three)

	two.Freeze()
	l.commits(100)
	divided(r, three)
	two.Thaw()
	l.commits(30)
	divided(r, two, three)
	if !strings.Contains(two.Log(), "taken for dead") {
		t.Error("the replica that was frozen does not say that it was taken for dead")
	}

	four := r.Replica()
	four.StartAgent(flags...)
	three.EndAgent()
	l.commits(30)
	divided(r, two, four)

	l.wait()
	for name, numbers := range history() {
		for n := range len(numbers) - 1 {
			if numbers[n+1] <= numbers[n] {
				t.Errorf("ConfigMap %s had the numbers %v: it was written twice, or went back", name, numbers)
				break
			}
		}
	}
}

// divided waits until some replicas, and no others, have the work, about the same each.
func divided(r *rig.Rig, replicas ...*rig.Rig) {
	r.T.Helper()
	r.Eventually(fmt.Sprintf("%d replicas share the work", len(replicas)), func() (bool, string) {
		var have []string
		fair, sum := true, 0
		for _, replica := range replicas {
			n := int(replica.Metric("sluice_shards"))
			fair = fair && n >= shard.Count/len(replicas) && n <= shard.Count/len(replicas)+1
			sum += n
			have = append(have, strconv.Itoa(n))
		}
		return fair && sum == shard.Count, strings.Join(have, ", ")
	})
}

// Two Repositories that different replicas work on: an object moves from an Overlay of one to an
// Overlay of the other without being deleted, Overlays wait for each other, and an Overlay
// changes its Repository.
func TestAcrossReplicas(t *testing.T) {
	r := rig.New(t, cluster.Options{})
	other := r.Replica()
	flags := []string{"--share=true", "--namespace=" + r.Namespace, "--lease-duration=5s"}
	r.StartAgent(flags...)
	other.StartAgent(flags...)
	divided(r, r, other)
	here, there := apart(r)
	configMap := func(name string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: " + r.Namespace + "}\n"
	}
	from := r.Repository(here, files{"app/moving.yaml": configMap("moving"), "app/staying.yaml": configMap("staying")})
	to := r.Repository(there, files{"app/own.yaml": configMap("own"), "app2/staying.yaml": configMap("staying")})
	of := func(repository string) func(*v1alpha1.Overlay) {
		return func(o *v1alpha1.Overlay) { o.Spec.RepositoryRef.Name = repository }
	}
	r.Overlay("giver", "app", of(here))
	r.Overlay("taker", "app", of(there))
	r.WaitReady("giver")
	r.WaitReady("taker")
	moving := r.Get("v1", "ConfigMap", r.Namespace, "moving")

	r.Push(to, gitserver.Change{Message: "want it", Files: files{"app/moving.yaml": configMap("moving")}})
	r.Ask(there)
	r.WaitOverlay("taker", "wants what belongs to the other", func(o *v1alpha1.Overlay) bool {
		return len(o.Status.Claims) == 1 && o.Status.Claims[0].Name == "moving" && strings.Contains(rig.Ready(o).Message, "it belongs to Overlay "+r.Namespace+"/giver")
	})
	left := r.Push(from, gitserver.Change{Message: "let go", Delete: []string{"app/moving.yaml"}})
	r.Ask(here)
	r.WaitSynced(here, left)
	taker := r.WaitReady("taker")
	now := r.Get("v1", "ConfigMap", r.Namespace, "moving")
	if now == nil || now.GetUID() != moving.GetUID() || now.GetLabels()[v1alpha1.OverlayLabel] != "taker" || len(taker.Status.Claims) != 0 {
		t.Errorf("the object did not move as it was: %v, claims %v", now, taker.Status.Claims)
	}

	r.Push(from, gitserver.Change{Message: "break it", Files: files{"app/broken.yaml": "kind: ["}})
	r.Ask(here)
	r.WaitReason("giver", v1alpha1.RenderFailedReason)
	r.Overlay("waiter", "app2", of(there), func(o *v1alpha1.Overlay) {
		o.Spec.DependsOn = []v1alpha1.OverlayReference{{Name: "giver"}}
	})
	r.WaitReason("waiter", v1alpha1.DependencyNotReadyReason)
	mended := r.Push(from, gitserver.Change{Message: "mend it, and leave the rest to the waiter", Delete: []string{"app/broken.yaml", "app/staying.yaml"}, Files: files{"app/new.yaml": configMap("new")}})
	r.Ask(here)
	r.WaitSynced(here, mended)
	r.WaitReady("waiter")

	giver := r.GetOverlay("giver")
	r.Update(giver, func() { giver.Spec.RepositoryRef.Name, giver.Spec.Path = there, "app2" })
	waiter := r.GetOverlay("waiter")
	if err := r.Client.Delete(context.Background(), waiter); err != nil {
		t.Fatal(err)
	}
	r.WaitReady("giver")
	if follows := r.GetOverlay("giver").Follows(); follows.Name != there {
		t.Errorf("the Overlay follows %s", follows)
	}
	if r.Get("v1", "ConfigMap", r.Namespace, "new") != nil {
		t.Error("what the Overlay had of the former Repository is still there")
	}
}

// apart returns two names of Repositories that fall to different replicas.
func apart(r *rig.Rig) (here, there string) {
	r.T.Helper()
	var lease coordinationv1.Lease
	if err := r.Client.Get(context.Background(), client.ObjectKey{Namespace: r.Namespace, Name: shard.TableName}, &lease); err != nil {
		r.T.Fatal(err)
	}
	table, err := shard.Parse(lease.Annotations[shard.Annotation])
	if err != nil {
		r.T.Fatal(err)
	}
	byHolder := map[string]string{}
	for n := 0; len(byHolder) < 2; n++ {
		name := fmt.Sprint("repository-", n)
		byHolder[table[shard.Of(client.ObjectKey{Namespace: r.Namespace, Name: name})].Holder] = name
	}
	var names []string
	for _, name := range byHolder {
		names = append(names, name)
	}
	return names[0], names[1]
}

// load is a number of Repositories with an Overlay each, to which commits come.
type load struct {
	rig   *rig.Rig
	repos []*gitserver.Repo
	last  []string // revision of each
	n     int      // the number in the last commit of all
}

func newLoad(r *rig.Rig, size int) *load {
	l := &load{rig: r, last: make([]string, size)}
	for i := range size {
		name := fmt.Sprintf("load-%02d", i)
		l.repos = append(l.repos, r.Repository(name, nil))
		l.commit(i)
		r.Overlay(name, "app", func(o *v1alpha1.Overlay) { o.Spec.RepositoryRef.Name = name })
	}
	return l
}

// commit puts the next number into one repository.
func (l *load) commit(i int) {
	l.n++
	var text strings.Builder
	for _, letter := range "abc" {
		fmt.Fprintf(&text, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %d%c, namespace: %s}\ndata: {number: \"%d\"}\n", i, letter, l.rig.Namespace, l.n)
	}
	l.last[i] = l.rig.Push(l.repos[i], gitserver.Change{Message: fmt.Sprint("number ", l.n), Files: files{"app/objects.yaml": text.String()}})
}

// commits makes some commits to all repositories in turn, and tells the agent of each.
func (l *load) commits(n int) {
	for range n {
		i := l.n % len(l.repos)
		l.commit(i)
		l.rig.Ask(fmt.Sprintf("load-%02d", i))
		time.Sleep(80 * time.Millisecond)
	}
}

// wait waits until all is as the last commits say.
func (l *load) wait() {
	for i, revision := range l.last {
		l.rig.WaitSynced(fmt.Sprintf("load-%02d", i), revision)
	}
}

// watchNumbers notes from now on which numbers each ConfigMap has, one after the other. The
// function it returns ends that.
func watchNumbers(r *rig.Rig) func() map[string][]int {
	r.T.Helper()
	events, err := r.Client.Watch(context.Background(), &corev1.ConfigMapList{}, client.InNamespace(r.Namespace))
	if err != nil {
		r.T.Fatal(err)
	}
	var mu gosync.Mutex
	numbers := map[string][]int{}
	go func() {
		for event := range events.ResultChan() {
			object, is := event.Object.(*corev1.ConfigMap)
			n, err := strconv.Atoi(func() string {
				if is {
					return object.Data["number"]
				}
				return ""
			}())
			if err != nil {
				continue // not one of the load's
			}
			mu.Lock()
			if event.Type == watch.Deleted {
				n = 0 // that must not be
			}
			numbers[object.Name] = append(numbers[object.Name], n)
			mu.Unlock()
		}
	}()
	return func() map[string][]int {
		events.Stop()
		mu.Lock()
		defer mu.Unlock()
		return numbers
	}
}
