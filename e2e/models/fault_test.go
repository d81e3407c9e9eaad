package models_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/kserve"
	"github.com/sluice-dev/sluice/e2e/objectstore"
	"github.com/sluice-dev/sluice/e2e/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// unscraped is a Prometheus that has nothing to scrape, for queries that say their value themselves,
// at an address or anywhere.
func unscraped(t *testing.T, address string) *prometheus.Server {
	t.Helper()
	server, err := prometheus.Start(context.Background(), prometheus.Options{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// routedHouse is a house with a gateway, in which v7 serves.
func routedHouse(t *testing.T, stages string, versions ...string) *house {
	t.Helper()
	h := newHouse(t, cluster.Options{})
	kserve.Start(t, h.Cluster.Config(), kserve.Options{Gateway: true})
	h.files["models/model.yaml"] = deployed + stages
	h.register("v7", "")
	for _, v := range versions {
		h.register(v, "")
	}
	return h
}

// edit replaces text in the file of the Model.
func (h *house) edit(from, to string) {
	h.T.Helper()
	before := h.files["models/model.yaml"]
	if h.files["models/model.yaml"] = strings.Replace(before, from, to, 1); h.files["models/model.yaml"] == before {
		h.T.Fatalf("there is no %q in\n%s", from, before)
	}
}

// newest waits until the newest Promotion of a stage is as it should be.
func (h *house) newest(stage, what string, is func(v1alpha1.Promotion) bool) v1alpha1.Promotion {
	h.T.Helper()
	var last v1alpha1.Promotion
	h.Eventually(stage+": "+what, func() (bool, string) {
		all := h.promotions(stage)
		if len(all) == 0 {
			return false, "there is no Promotion"
		}
		last = all[0]
		return is(last), fmt.Sprintf("%s %s: %s; %+v", last.Spec.Version, last.Status.Phase, last.Status.Message, last.Status.Analyses)
	})
	return last
}

// has waits until a version has some of the traffic of production, also in the gateway.
func (h *house) has(version string, percent int32) {
	h.T.Helper()
	h.await("production", fmt.Sprintf("%s has %d %%", version, percent), func(s v1alpha1.StageStatus) bool { return s.Candidate == version && s.Traffic == percent })
	h.Eventually("the route says so", func() (bool, string) {
		now := h.route()
		return strings.Contains(now, fmt.Sprintf("fraud-%s=%d", version, percent)), now
	})
}

// alone waits until a version has all the traffic in the gateway.
func (h *house) alone(version string) {
	h.T.Helper()
	h.Eventually(version+" has all traffic", func() (bool, string) {
		now := h.route()
		return now == "fraud-"+version+"=100", now
	})
}

// neighbour adds a Model of another name to what is to be pushed, with one stage in the namespace of
// the test, and two versions, a and b.
func (h *house) neighbour(name, version, uri, rollout string) {
	h.T.Helper()
	text := strings.Replace(deployed, "name: fraud", "name: "+name, 1) + fmt.Sprintf(`  - name: only
    version: %s
    rollout:
      drain: 1s
%s`, version, rollout)
	for _, v := range []string{"a", "b"} {
		at := uri
		if v == "a" {
			at = "pvc://models/" + name // which nobody looks at
		}
		text += fmt.Sprintf(`---
apiVersion: sluice.dev/v1alpha1
kind: ModelVersion
metadata:
  name: %s-%s
spec:
  model: %[1]s
  version: %[2]s
  artifact:
    uri: %s
    secretRef: {name: store}
`, name, v, at)
	}
	h.files["models/"+name+".yaml"] = text
	const list = "models/kustomization.yaml"
	if !strings.Contains(h.files[list], name+".yaml") {
		h.files[list] = strings.Replace(h.files[list], "]", ", "+name+".yaml]", 1)
	}
}

// only is the stage of a neighbour.
func (h *house) only(name string) v1alpha1.StageStatus {
	h.T.Helper()
	var m v1alpha1.Model
	if err := h.Client.Get(context.Background(), client.ObjectKey{Namespace: h.Namespace, Name: name}, &m); client.IgnoreNotFound(err) != nil {
		h.T.Fatal(err)
	}
	if len(m.Status.Stages) == 0 {
		return v1alpha1.StageStatus{}
	}
	return m.Status.Stages[0]
}

// neighbourServes waits until a version of a neighbour serves.
func (h *house) neighbourServes(name, version string) {
	h.T.Helper()
	h.Eventually(version+" of "+name+" serves", func() (bool, string) {
		s := h.only(name)
		return s.Phase == v1alpha1.StageServing && s.Version == version, fmt.Sprintf("%s %s: %s", s.Phase, s.Version, s.Message)
	})
}

// Prometheus goes down in a canary: when it has not answered more often than it may, the version is
// turned back, and it is said who did not answer. An outage that is shorter only takes time.
func TestPrometheusDown(t *testing.T) {
	metrics := unscraped(t, "")
	canary := strings.Replace(stepwise, "hold: 2s", "hold: 10m", 1) // which does not come to an end
	h := routedHouse(t, canary+analysed(metrics.URL, "vector(0)", 2), "v8")
	h.begin()
	h.serves("production", "v7")

	h.set("production", "v8")
	h.push("fraud: v8 to production")
	h.has("v8", 10)
	h.newest("production", "it is measured", func(p v1alpha1.Promotion) bool {
		return len(p.Status.Analyses) == 1 && p.Status.Analyses[0].Succeeded > 0
	})
	if err := metrics.Stop(); err != nil {
		t.Fatal(err)
	}
	s := h.await("production", "v8 is turned back", func(s v1alpha1.StageStatus) bool { return s.Phase == v1alpha1.StageHeld })
	if s.Version != "v7" || s.Traffic != 0 || !strings.Contains(s.Message, metrics.Address) || !strings.Contains(s.Message, "could not be measured") || !strings.Contains(s.Message, "at most 2 may") {
		t.Errorf("production: %+v", s)
	}
	h.alone("v7")
	if p := h.promotions("production")[0]; p.Status.Phase != v1alpha1.PromotionRolledBack {
		t.Errorf("the Promotion of v8 is %s", p.Status.Phase)
	}

	// A rollout that waits longer is another request: v8 is tried again, while nothing answers yet.
	h.edit("hold: 10m", "hold: 1s")
	h.edit("errorLimit: 2", "errorLimit: 900")
	h.push("fraud: v8 again, with more patience")
	h.newest("production", "it cannot be measured", func(p v1alpha1.Promotion) bool {
		return p.Status.Phase == v1alpha1.PromotionCanary && len(p.Status.Analyses) == 1 && p.Status.Analyses[0].Errors > 1
	})
	unscraped(t, metrics.Address)
	h.serves("production", "v8")
	h.alone("v8")
	if trail := h.trail("production"); trail != "v7 Succeeded, v8 RolledBack, v8 Succeeded" {
		t.Errorf("the promotions went: %s", trail)
	}
}

// The object store goes down before a promotion: the promotion waits and says why, others go on, and
// so does it when the store is back.
func TestStoreDown(t *testing.T) {
	h := routedHouse(t, stepwise, "v8")
	h.neighbour("near", "a", "pvc://models/near", "")
	h.begin()
	h.serves("production", "v7")
	h.neighbourServes("near", "a")

	for _, c := range []struct {
		version string
		fault   objectstore.Fault
	}{
		{"v8", objectstore.Down()},
		{"v9", objectstore.Status(http.StatusServiceUnavailable)},
	} {
		h.store.Misbehave(c.fault)
		before, other := h.stage("production").Version, map[string]string{"a": "b", "b": "a"}[h.only("near").Version]
		h.register(c.version, "")
		h.neighbour("near", other, "pvc://models/near", "")
		h.set("production", c.version)
		h.push("fraud: " + c.version + " to production, near: " + other)
		s := h.await("production", c.version+" waits for the store", func(s v1alpha1.StageStatus) bool {
			return strings.Contains(s.Message, "the artifact of "+c.version) && strings.Contains(s.Message, "store")
		})
		if s.Version != before || s.Phase != v1alpha1.StagePromoting {
			t.Errorf("production: %+v", s)
		}
		t.Log(s.Message)
		h.neighbourServes("near", other)
		if s := h.stage("production"); s.Version != before || s.Phase != v1alpha1.StagePromoting {
			t.Errorf("production: %+v", s)
		}
		h.store.Misbehave(nil)
		h.serves("production", c.version)
	}
	if trail := h.trail("production"); trail != "v7 Succeeded, v8 Succeeded, v9 Succeeded" {
		t.Errorf("the promotions went: %s", trail)
	}
}

// Models are promoted side by side. Those whose artifacts come drop by drop, without an end in sight,
// and one whose Prometheus takes connections and does not answer, delay no other.
func TestNobodyDelaysAnother(t *testing.T) {
	metrics := unscraped(t, "")
	h := routedHouse(t, stepwise, "v8")
	for _, name := range []string{"drop", "drip", "trickle"} {
		if err := h.store.Put(context.Background(), bucket, "slow/"+name, strings.NewReader(strings.Repeat("x", 8<<20))); err != nil {
			t.Fatal(err)
		}
		h.neighbour(name, "a", "s3://models/slow/"+name, "")
	}
	h.neighbour("hung", "a", "pvc://models/hung", "      canary: [{traffic: 10}]\n"+analysed(metrics.URL, "vector(0)", 900))
	h.neighbour("near", "a", "s3://models/fraud/v7/model.json", "")
	h.store.Misbehave(func(next http.Handler) http.Handler {
		slow := objectstore.Slow(4<<10, time.Second)(next) // half an hour for each
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/"+bucket+"/slow/") {
				slow.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	h.begin()
	h.serves("production", "v7")
	names := []string{"drop", "drip", "trickle", "hung"}
	for _, name := range append(names, "near") {
		h.neighbourServes(name, "a")
	}
	if err := metrics.Pause(); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(names, "near") {
		file := "models/" + name + ".yaml"
		h.files[file] = strings.Replace(h.files[file], "version: a", "version: b", 1)
	}
	h.push("those first that do not get on")
	h.Eventually("they are under way", func() (bool, string) {
		said := ""
		for _, name := range names {
			s := h.only(name)
			if s.Candidate != "b" || name == "hung" && s.Traffic == 0 {
				return false, name + ": " + s.Message
			}
			said += s.Message
		}
		return true, said
	})
	h.set("production", "v8")
	h.push("fraud: v8 to production")
	h.serves("production", "v8")
	h.neighbourServes("near", "b")
	for _, name := range names {
		if s := h.only(name); s.Version != "a" || s.Candidate != "b" || s.Phase != v1alpha1.StagePromoting {
			t.Errorf("%s, which cannot get on: %+v", name, s)
		}
	}
	if err := metrics.Resume(); err != nil {
		t.Fatal(err)
	}
	h.neighbourServes("hung", "b")
}

// Somebody deletes the InferenceService in the middle of a canary. It comes back and the promotion
// comes to an end; at no time is there more than one under way.
func TestDeletedByHand(t *testing.T) {
	h := newHouse(t, cluster.Options{})
	kserve.Start(t, h.Cluster.Config(), kserve.Options{Canary: true, Gateway: true})
	h.files["models/model.yaml"] = inferred + stepwise
	h.register("v7", "")
	h.register("v8", "")
	h.begin()
	h.serves("production", "v7")
	r := h.watch()
	h.set("production", "v8")
	h.push("fraud: v8 to production")
	h.await("production", "v8 has 10 %", func(s v1alpha1.StageStatus) bool { return s.Candidate == "v8" && s.Traffic == 10 })
	deleted := h.Get("serving.kserve.io/v1beta1", "InferenceService", "fraud", "fraud")
	h.delete(deleted)
	way := h.way(r, "production", "v8")
	t.Log(way)
	now := h.await("production", "it has come to an end", func(s v1alpha1.StageStatus) bool {
		return s.Phase == v1alpha1.StageServing || s.Phase == v1alpha1.StageHeld
	})
	switch want := map[v1alpha1.StagePhase]string{v1alpha1.StageServing: "v8", v1alpha1.StageHeld: "v7"}[now.Phase]; {
	case now.Version != want:
		t.Errorf("production: %+v", now)
	case h.Get("serving.kserve.io/v1beta1", "InferenceService", "fraud", "fraud").GetUID() == deleted.GetUID():
		t.Error("the InferenceService is the one that was deleted")
	}
	h.Eventually("it is Ready again", func() (bool, string) {
		now := h.Get("serving.kserve.io/v1beta1", "InferenceService", "fraud", "fraud")
		return now != nil && ready(now.Object), fmt.Sprint(now)
	})
	if trail := h.trail("production"); trail != "v7 Succeeded, v8 Succeeded" && trail != "v7 Succeeded, v8 RolledBack" {
		t.Errorf("the promotions went: %s", trail)
	}
	for _, s := range r.of("production", "v8") {
		if s.of != r.of("production", "v8")[0].of {
			t.Errorf("v8 has two Promotions")
		}
	}
	h.nothingLeft("v7")
}

// ready tells whether an object has the condition Ready.
func ready(object map[string]any) bool {
	status, _ := object["status"].(map[string]any)
	conditions, _ := status["conditions"].([]any)
	for _, c := range conditions {
		if c, is := c.(map[string]any); is && c["type"] == "Ready" {
			return c["status"] == "True"
		}
	}
	return false
}
