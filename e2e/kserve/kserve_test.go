package kserve_test

import (
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/serving"
	"github.com/sluice-dev/sluice/e2e/kserve"
)

func template(mode, text string) v1alpha1.Serving {
	return v1alpha1.Serving{KServe: &v1alpha1.KServeServing{Mode: mode, Template: apiextensionsv1.JSON{Raw: []byte(text)}}}
}

const sklearn = `{"predictor": {"sklearn": {}}}`

func pathOf(w *walk, o *unstructured.Unstructured, path ...string) string {
	w.Helper()
	text, _, err := unstructured.NestedString(o.Object, path...)
	if err != nil {
		w.Fatal(err)
	}
	return text
}

// noneGot fails if a version ever had more than a percent of the traffic.
func noneGot(t *testing.T, flows []string, version string, percents ...string) {
	t.Helper()
	for _, flow := range flows {
		for part := range strings.FieldsSeq(flow) {
			artifact, percent, _ := strings.Cut(part, "=")
			allowed := false
			for _, p := range percents {
				allowed = allowed || p == percent
			}
			if strings.HasSuffix(artifact, "/"+version) && !allowed {
				t.Errorf("%s had %s %% of the traffic: %q", version, percent, flows)
			}
		}
	}
}

// Knative mode: revisions, each of which is one Deployment here.
func TestKnative(t *testing.T) {
	k := kserve.Start(t, shared.Config(), kserve.Options{Knative: true, Idle: 3 * time.Second})
	w := newWalk(t, template("", `{"predictor": {"minReplicas": 0, "sklearn": {}}}`))

	w.until("v7 comes", w.want("", "v7", 100), all)
	w.until("v7 serves", w.want("v7", "", 0), alone)
	w.until("v7 serves and KServe has noted it", w.want("v7", "v8", 0), func(serving.State) bool { return true })

	// Right after a write, everything is said to be ready.
	k.Pause()
	w.apply(w.want("v7", "v9", 0))
	if s := w.observe(w.want("v7", "v9", 0)); s.Candidate.Ready || s.Candidate.Failed || s.Traffic != 0 {
		t.Errorf("the status of v8 passed for that of v9: %+v", s)
	}
	k.Resume()
	w.until("v9 is ready instead", w.want("v7", "v9", 0), prepared)
	w.until("v9 has a part", w.want("v7", "v9", 10), shared10)

	// Back, and rid of it: v9 must not get everything in between.
	w.until("v9 is turned back", w.want("v7", "v9", 0), prepared)
	w.until("v9 is gone", w.want("v7", "", 0), alone)
	noneGot(t, k.Flows(w.namespace, "fraud"), "v9", "10")

	// A version that does not load, and one that follows it.
	s := w.until("v10 does not load", w.want("v7", "v10-broken", 0), func(s serving.State) bool { return s.Candidate.Failed })
	if !s.Stable.Ready || !strings.Contains(s.Candidate.Message, "the artifact cannot be read") {
		t.Errorf("%+v", s)
	}
	k.Pause()
	w.apply(w.want("v7", "v11", 0))
	if s := w.observe(w.want("v7", "v11", 0)); s.Candidate.Failed || s.Candidate.Ready {
		t.Errorf("the failure of v10 passed for that of v11: %+v", s)
	}
	k.Resume()
	w.until("v11 is ready", w.want("v7", "v11", 0), prepared)
	w.until("v11 has everything", w.want("v7", "v11", 100), all)
	w.until("v11 serves", w.want("v11", "", 0, "v7"), alone)

	// Nobody asks: the pods go, KServe is at work for ever, and it is ready all the same.
	w.eventually("v11 has no pods", func() bool {
		isvc := w.get("serving.kserve.io", "InferenceService", "fraud")
		return pathOf(w, isvc, "status", "modelStatus", "transitionStatus") == "InProgress"
	})
	if s := w.observe(w.want("v11", "", 0)); !s.Stable.Ready {
		t.Errorf("%+v", s)
	}

	// Somebody deletes it in the middle of a canary: what was stable comes first.
	w.until("v12 has a part", w.want("v11", "v12", 10), shared10)
	w.delete("serving.kserve.io", "InferenceService", "fraud")
	w.until("v12 has a part again", w.want("v11", "v12", 10), shared10)
	noneGot(t, k.Flows(w.namespace, "fraud"), "v12", "10")

	// The webhook's defaults are there, and are not fought: the next apply changes nothing.
	w.apply(w.want("v11", "v12", 10))
	before := w.get("serving.kserve.io", "InferenceService", "fraud")
	w.apply(w.want("v11", "v12", 10))
	after := w.get("serving.kserve.io", "InferenceService", "fraud")
	if before.GetGeneration() != after.GetGeneration() || pathOf(w, after, "spec", "predictor", "model", "resources", "requests", "memory") != "2Gi" {
		t.Errorf("generation %d after %d\n%v", after.GetGeneration(), before.GetGeneration(), after.Object["spec"])
	}
}

// Standard mode with spec.canary.
func TestCanary(t *testing.T) {
	k := kserve.Start(t, shared.Config(), kserve.Options{Canary: true, Gateway: true})
	w := newWalk(t, template("Standard", `{"predictor": {"minReplicas": 2, "model": {}}}`))
	if means := serving.Means(w.model, w.can); means != "KServe in Standard mode, canaries by spec.canary" {
		t.Fatal(means)
	}
	w.until("v7 comes", w.want("", "v7", 100), all)
	w.until("v7 serves", w.want("v7", "", 0), alone)

	k.Pause()
	w.apply(w.want("v7", "v8", 0))
	if s := w.observe(w.want("v7", "v8", 0)); s.Candidate.Ready || !s.Stable.Ready {
		t.Errorf("%+v", s)
	}
	k.Resume()
	w.until("v8 is ready without traffic", w.want("v7", "v8", 0), prepared)
	w.until("v8 has a part", w.want("v7", "v8", 10), shared10)
	pods := w.get("apps", "Deployment", "fraud-v8-predictor").GetUID()

	// Completion goes by way of 100 percent, and starts nothing anew.
	w.until("v8 serves", w.want("v8", "", 0, "v7"), alone)
	if w.get("apps", "Deployment", "fraud-v8-predictor").GetUID() != pods {
		t.Error("v8 was started anew")
	}
	if w.get("apps", "Deployment", "fraud-v7-predictor") == nil {
		t.Error("v7 does not drain")
	}
	noneGot(t, k.Flows(w.namespace, "fraud"), "v8", "10", "100")
	w.until("v7 is gone", w.want("v8", "", 0), alone)
	w.eventually("v7's Deployment is gone", func() bool { return w.get("apps", "Deployment", "fraud-v7-predictor") == nil })
	isvc := w.get("serving.kserve.io", "InferenceService", "fraud")
	if observed, _, _ := unstructured.NestedInt64(isvc.Object, "status", "observedGeneration"); observed >= isvc.GetGeneration() {
		t.Errorf("the stand-in is too honest: observedGeneration %d of %d", observed, isvc.GetGeneration())
	}

	// One that finds no node waits, and one that does not load as well: KServe says nothing of
	// canaries. Both go without a trace.
	for _, name := range []string{"v9-unschedulable", "v10-broken"} {
		deployment := "fraud-" + name + "-predictor"
		w.until(name+" does not get ready", w.want("v8", name, 0), func(s serving.State) bool {
			return s.Stable.Ready && strings.Contains(s.Candidate.Message, "0 of 1 pods are available")
		})
		w.until(name+" is gone", w.want("v8", "", 0), alone)
		w.eventually(deployment+" is gone", func() bool { return w.get("apps", "Deployment", deployment) == nil })
		noneGot(t, k.Flows(w.namespace, "fraud"), name)
	}

	// Straight to another version, as with no steps at all, and to one that is never ready.
	w.until("v11 serves", w.want("v11", "", 0), alone)
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if next, there := w.step(w.want("v12-unschedulable", "", 0)); there || next.Stable.Name != "v11" {
			t.Fatalf("an outage: %s", describe(next))
		}
	}
	if s := w.observe(w.want("v11", "v12-unschedulable", 0)); !s.Stable.Ready {
		t.Errorf("%+v", s)
	}
	w.until("v11 serves on", w.want("v11", "", 0), alone)

	// Deleted by hand in the middle of a canary.
	w.until("v13 has a part", w.want("v11", "v13", 10), shared10)
	w.delete("serving.kserve.io", "InferenceService", "fraud")
	w.until("v13 has a part again", w.want("v11", "v13", 10), shared10)
	noneGot(t, k.Flows(w.namespace, "fraud"), "v13", "10")
}

// Standard mode before spec.canary, with an HTTPRoute of ours.
func TestRoute(t *testing.T) {
	kserve.Start(t, shared.Config(), kserve.Options{Gateway: true})
	model := template("Standard", sklearn)
	model.KServe.Gateway = &v1alpha1.GatewayReference{Name: "public", Hostnames: []string{"${model}.example.com"}}
	besides(t, newWalk(t, model), "http://fraud.example.com")
}

// Standard mode before spec.canary, with KServe's own router.
func TestGraph(t *testing.T) {
	k := kserve.Start(t, shared.Config(), kserve.Options{})
	w := newWalk(t, template("Standard", sklearn))
	besides(t, w, "http://fraud-"+w.namespace+".example.com")
	noneGot(t, k.Flows(w.namespace, "fraud"), "v8", "10", "100")
}

// besides walks versions that have an InferenceService each.
func besides(t *testing.T, w *walk, url string) {
	t.Helper()
	w.until("v7 is ready", w.want("", "v7", 0), func(s serving.State) bool { return s.Candidate.Ready })
	w.until("v7 comes", w.want("", "v7", 100), func(s serving.State) bool { return s.Candidate.Ready && s.Traffic == 100 })
	w.until("v7 serves", w.want("v7", "", 0), alone)
	w.until("v8 is ready without traffic", w.want("v7", "v8", 0), prepared)
	s := w.until("v8 has a part", w.want("v7", "v8", 10), shared10)
	if s.URL != url {
		t.Errorf("URL %s", s.URL)
	}
	w.until("v8 is turned back", w.want("v7", "v8", 0), prepared)
	w.until("v8 has everything", w.want("v7", "v8", 100), all)
	w.until("v8 serves", w.want("v8", "", 0, "v7"), alone)
	w.until("v7 is gone", w.want("v8", "", 0), alone)
	w.eventually("v7's InferenceService is gone", func() bool { return w.get("serving.kserve.io", "InferenceService", "fraud-v7") == nil })
	s = w.until("v9 does not load", w.want("v8", "v9-broken", 0), func(s serving.State) bool { return s.Candidate.Failed })
	if !s.Stable.Ready || !strings.Contains(s.Candidate.Message, "ModelLoadFailed: RuntimeError") {
		t.Errorf("%+v", s)
	}
	w.until("v9 is gone", w.want("v8", "", 0), alone)
}

// A runtime that is not there.
func TestRuntimeMissing(t *testing.T) {
	kserve.Start(t, shared.Config(), kserve.Options{})
	w := newWalk(t, template("Standard", `{"predictor": {"model": {"runtime": "a-missing-runtime"}}}`))
	s := w.until("KServe says so", w.want("", "v7", 100), func(s serving.State) bool { return s.Candidate.Failed })
	if !strings.Contains(s.Candidate.Message, "RuntimeNotRecognized: Waiting for runtime to become available") {
		t.Errorf("%+v", s)
	}
}

// A Deployment of ours, behind a gateway and without one.
func TestDeployment(t *testing.T) {
	kserve.Start(t, shared.Config(), kserve.Options{Gateway: true}) // for its gateway
	const server = `{"template": {"spec": {"containers": [{"name": "server", "image": "server", "args": ["${uri}"]}]}}}`
	model := v1alpha1.Serving{Deployment: &v1alpha1.DeploymentServing{Port: 8080, Template: apiextensionsv1.JSON{Raw: []byte(server)}}}

	t.Run("AtOnce", func(t *testing.T) {
		w := newWalk(t, model)
		w.until("v7 serves", w.want("v7", "", 0), alone)
		w.until("v8 is ready and has nothing", w.want("v7", "v8", 50), prepared)
		service := func() string {
			return pathOf(w, w.get("", "Service", "fraud"), "spec", "selector", v1alpha1.VersionLabel)
		}
		if got := service(); got != "v7" {
			t.Errorf("%s serves", got)
		}
		w.until("v8 has everything", w.want("v7", "v8", 100), all)
		if got := service(); got != "v8" {
			t.Errorf("%s serves", got)
		}
		w.until("v8 serves", w.want("v8", "", 0), alone)
		w.eventually("v7 is gone", func() bool { return w.get("apps", "Deployment", "fraud-v7") == nil })
	})
	t.Run("Routed", func(t *testing.T) {
		routed := *model.Deployment
		routed.Gateway = &v1alpha1.GatewayReference{Name: "public"}
		w := newWalk(t, v1alpha1.Serving{Deployment: &routed})
		w.until("v7 serves", w.want("v7", "", 0), alone)
		w.until("v8 has a part", w.want("v7", "v8", 10), shared10)
		w.until("v8 is turned back", w.want("v7", "v8", 0), prepared)
		w.until("v8 has everything", w.want("v7", "v8", 100), all)
		w.until("v8 serves", w.want("v8", "", 0, "v7"), alone)
	})
}
