package cluster

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// discovered is an API server's discovery, and a clock.
type discovered struct {
	mu     sync.Mutex
	at     time.Time
	groups map[string][]string // versions in which a group serves Widgets, the preferred one first
	silent []schema.GroupVersion
	down   error
	asked  int
}

func (d *discovered) now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}

func (d *discovered) pass(t time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = d.at.Add(t)
}

func (d *discovered) ask(context.Context) ([]*metav1.APIGroup, []*metav1.APIResourceList, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.down != nil {
		return nil, nil, d.down
	}
	var groups []*metav1.APIGroup
	var lists []*metav1.APIResourceList
	for name, versions := range d.groups {
		g := &metav1.APIGroup{Name: name}
		for _, v := range versions {
			version := metav1.GroupVersionForDiscovery{GroupVersion: name + "/" + v, Version: v}
			g.Versions = append([]metav1.GroupVersionForDiscovery{version}, g.Versions...)
			lists = append(lists, &metav1.APIResourceList{GroupVersion: name + "/" + v, APIResources: []metav1.APIResource{
				{Name: "widgets/status", Kind: "Status"}, {Name: "widgets", Kind: "Widget", Namespaced: true},
			}})
		}
		g.PreferredVersion = g.Versions[len(g.Versions)-1]
		groups = append(groups, g)
	}
	if len(d.silent) > 0 {
		failed := map[schema.GroupVersion]error{}
		for _, gv := range d.silent {
			failed[gv] = errors.New("it does not answer")
		}
		return groups, lists, &discovery.ErrGroupDiscoveryFailed{Groups: failed}
	}
	return groups, lists, nil
}

// A step changes what the API server says or what the agent is told, and then asks for a
// Widget of a group in a version.
func TestKinds(t *testing.T) {
	type step struct {
		name     string
		change   func(d *discovered, k *kinds)
		group    string
		version  string
		finds    string // the version of the resource; "none" or "unclear" for an error
		requests int
	}
	wait := func(pause time.Duration) func(*discovered, *kinds) {
		return func(d *discovered, _ *kinds) { d.pass(pause) }
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"what is known is not asked for again", []step{
			{"first", nil, "shop", "v1", "v1", 1},
			{"again", nil, "shop", "v1", "v1", 0},
			{"another version", nil, "shop", "v1beta1", "v1beta1", 0},
			{"the preferred one", nil, "shop", "", "v1", 0},
			{"another group", nil, "park", "", "v1", 0},
			{"much later", wait(time.Hour), "shop", "v1", "v1", 0},
		}},
		{"what is not known is remembered for a while", []step{
			{"first", nil, "none", "v1", "none", 1},
			{"again", nil, "none", "v1", "none", 0},
			{"another one", nil, "nowhere", "v1", "none", 0},
			{"later", wait(unknownFor), "none", "v1", "none", 1},
			{"a version", nil, "shop", "v9", "none", 0},
		}},
		{"a CRD comes", []step{
			{"first", nil, "new", "v1", "none", 1},
			{"it is there", func(d *discovered, k *kinds) { d.pass(time.Second); d.groups["new"] = []string{"v1"}; k.change("new") }, "shop", "v1", "v1", 0},
			{"found", wait(time.Millisecond), "new", "v1", "v1", 1},
			{"the API server may not be up to date yet", wait(unsettledFor), "new", "v1", "v1", 1},
			{"it is", wait(settleFor), "new", "v1", "v1", 1},
			{"from now on", wait(time.Hour), "new", "v1", "v1", 0},
		}},
		{"many CRDs come", []step{
			{"first", nil, "shop", "v1", "v1", 1},
			{"groups change", func(d *discovered, k *kinds) {
				d.pass(time.Second)
				for _, group := range []string{"shop", "park", "a", "b", "c", "shop", "park", "a", "b", "c"} {
					k.change(group)
				}
				d.pass(settleFor + 1)
			}, "shop", "v1", "v1", 1},
			{"one answer is for all", nil, "park", "v1", "v1", 0},
			{"also for what is not there", nil, "c", "v1", "none", 0},
		}},
		{"a version is not served any more", []step{
			{"first", nil, "shop", "v1beta1", "v1beta1", 1},
			{"told", func(d *discovered, k *kinds) {
				d.pass(time.Second)
				k.change("shop")
				d.pass(settleFor + 1)
				d.groups["shop"] = []string{"v1"}
			}, "shop", "v1beta1", "none", 1},
			{"the other is", nil, "shop", "v1", "v1", 0},
		}},
		{"the API server does not answer", []step{
			{"first", func(d *discovered, _ *kinds) { d.down = errors.New("down") }, "shop", "v1", "unclear", 1},
			{"the next kind of the same pass", nil, "park", "v1", "unclear", 0},
			{"later", wait(unansweredFor), "shop", "v1", "unclear", 1},
			{"it is back", func(d *discovered, _ *kinds) { d.down = nil; d.pass(unansweredFor) }, "shop", "v1", "v1", 1},
			{"down again: what is known stays", func(d *discovered, k *kinds) { d.pass(time.Hour); d.down = errors.New("down"); k.change("park") }, "shop", "v1", "v1", 0},
			{"what may have changed is unclear", wait(1), "park", "v1", "unclear", 1},
			{"what was not known is unclear too", nil, "none", "v1", "unclear", 0},
		}},
		{"an aggregated API does not answer", []step{
			{"first", func(d *discovered, _ *kinds) { d.silent = []schema.GroupVersion{{Group: "metrics", Version: "v1"}} }, "metrics", "v1", "unclear", 1},
			{"any version", nil, "metrics", "", "unclear", 0},
			{"a version that is not there", nil, "metrics", "v2", "none", 0},
			{"others do", nil, "shop", "v1", "v1", 0},
			{"one that was there before", func(d *discovered, k *kinds) {
				delete(d.groups, "park")
				d.silent = []schema.GroupVersion{{Group: "park", Version: "v1"}}
				k.change("shop")
				d.pass(settleFor + 1)
			}, "park", "v1", "v1", 0},
			{"and is asked for", nil, "shop", "v1", "v1", 1},
			{"is taken as it was", nil, "park", "v1", "v1", 0},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &discovered{at: time.Unix(1e9, 0), groups: map[string][]string{"shop": {"v1", "v1beta1"}, "park": {"v1"}}}
			k := &kinds{ask: d.ask, now: d.now, changed: map[string]time.Time{}}
			for _, s := range c.steps {
				if s.change != nil {
					s.change(d, k)
				}
				before := d.asked
				m, err := k.find(schema.GroupKind{Group: s.group, Kind: "Widget"}, s.version)
				found := "unclear"
				switch {
				case err == nil:
					found = m.Resource.Version
				case meta.IsNoMatchError(err):
					found = "none"
				}
				if found != s.finds {
					t.Errorf("%s: found %s, want %s (%v)", s.name, found, s.finds, err)
				}
				if d.asked-before != s.requests {
					t.Errorf("%s: asked %d times, want %d", s.name, d.asked-before, s.requests)
				}
			}
		})
	}
}

// Passes that need the same answer ask for it once.
func TestKindsAreAskedForOnce(t *testing.T) {
	d := &discovered{at: time.Unix(1e9, 0), groups: map[string][]string{"shop": {"v1"}}}
	k := &kinds{ask: d.ask, now: d.now, changed: map[string]time.Time{}}
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if _, err := k.find(schema.GroupKind{Group: "shop", Kind: "Widget"}, "v1"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if d.asked != 1 {
		t.Errorf("the API server was asked %d times", d.asked)
	}
}
