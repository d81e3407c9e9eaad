package bench_test

import (
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fleet is many Repositories with an Overlay each, and replicas of the agent that share them.
type fleet struct {
	*rig.Rig
	replicas []*rig.Rig
	repos    []*gitserver.Repo
	revision []string
	objects  int // of each Overlay
}

func (f *fleet) name(i int) string { return fmt.Sprintf("r%03d", i) }

// content has as many ConfigMaps, all of one color.
func (f *fleet) content(i int, color string) files {
	content := files{}
	for n := range f.objects {
		content["app/"+objectName(i, n)+".yaml"] = object(i, n, color)
	}
	return content
}

// push makes a commit to one repository.
func (f *fleet) push(i int, color string) {
	f.T.Helper()
	f.revision[i] = f.Push(f.repos[i], gitserver.Change{Message: color, Files: f.content(i, color)})
}

// each does something for every Repository, waits until all are as the last commits say, and returns
// what that took. Renewals of Leases are not counted: they come with the hours, not with the work.
func (f *fleet) each(do func(i int)) Result {
	f.T.Helper()
	before := f.Calls()
	for i := range f.repos {
		do(i)
	}
	told := time.Now()
	for i, revision := range f.revision {
		f.WaitSynced(f.name(i), revision)
	}
	r := Result{Repeats: 1, Converged: time.Since(told).Seconds()}
	time.Sleep(2 * time.Second) // what comes after, such as events
	calls := f.Calls().Since(before).By("sluice/").Without("leases.coordination.k8s.io")
	r.Calls, r.calls = count(calls), calls
	for _, q := range deployed(calls) {
		r.Live = max(r.Live, q.Answered.Sub(told).Seconds())
	}
	for _, replica := range f.replicas {
		r.Steady += replica.Resident()
	}
	return r
}

// replicas measures what sharing the work costs and what the death of one does: Repositories with
// an Overlay of 5 objects each.
func (b *bench) replicas(repositories int) {
	f := &fleet{Rig: rig.New(b.T, cluster.Options{}), repos: make([]*gitserver.Repo, repositories), revision: make([]string, repositories), objects: 5}
	f.Create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: apps}})
	f.replicas = []*rig.Rig{f.Rig, f.Replica(), f.Replica()}
	for _, r := range f.replicas {
		r.StartAgent("--share=true", "--namespace="+f.Namespace)
	}
	f.Eventually("three replicas share the work", func() (bool, string) {
		for _, r := range f.replicas {
			if r.Metric("sluice_shards") < 10 {
				return false, "not yet"
			}
		}
		return true, ""
	})

	b.add("first apply, 3 replicas", f.each(func(i int) {
		f.repos[i] = f.Repository(f.name(i), f.content(i, "red"))
		hash, err := f.repos[i].Hash("main")
		if err != nil {
			b.Fatal(err)
		}
		f.revision[i] = "main@sha1:" + hash
		f.Overlay(f.name(i), "app", func(o *v1alpha1.Overlay) { o.Spec.RepositoryRef.Name = f.name(i) })
	}))
	b.add("a commit to each", f.each(func(i int) { f.push(i, "blue"); f.Ask(f.name(i)) }))
	b.add("one replica killed, a commit to each", f.each(func(i int) {
		if i == 0 {
			f.KillAgent()
		}
		f.push(i, "green")
		f.Ask(f.name(i))
	}))
	b.add("a commit to each, 2 replicas", f.each(func(i int) { f.push(i, "white"); f.Ask(f.name(i)) }))
}
