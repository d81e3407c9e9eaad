package models_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/objectstore"
	"github.com/sluice-dev/sluice/e2e/rig"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// mistake is what is wrong with the commit that is to promote b. Each has a Model of its name, with
// one stage of its name, in which a serves. Versions b and c come with the commit.
type mistake struct {
	name string
	// kserve has the Model served by KServe, and not by a Deployment.
	kserve bool
	// was is a text in the files of the Model, and is what it is changed to. Without, the files are
	// right, and what they lead to is not.
	was, is string
	// stage is what its stage says, and overlay what its Overlay says where the API server refuses an
	// object. Either may have nothing to say.
	stage, overlay []string
	// waits: the promotion of b is under way, and nothing of it has been brought up.
	waits bool
	// shifts: it is noticed when b has some of the traffic, which it loses again.
	shifts bool
	// next is the version that the commit names which mends it, where what is wrong with b stays. It
	// is b otherwise, and the mistake is taken back.
	next string
}

// byDeployment and byKServe are what serves the Models.
const (
	byDeployment = `    deployment:
      port: 8080
      gateway: {name: public}
      template:
        replicas: 1
        template:
          spec:
            containers:
            - {name: server, image: "registry.example.com/scorer:1", args: ["${uri}"]}
`
	byKServe = `    kserve:
      mode: Standard
      gateway: {name: public}
      template:
        predictor:
          minReplicas: 1
          model:
            modelFormat: {name: sklearn}
`
)

// path is the directory of the Model in the repository.
func (m mistake) path() string { return "mistakes/" + m.name }

// uri is where b is.
func (m mistake) uri() string { return "s3://" + bucket + "/" + m.name + "/b/model.json" }

// goal is the version that serves when it is mended.
func (m mistake) goal() string { return cmp.Or(m.next, "b") }

// write puts the Model and some of its versions into the repository, all as it should be. The first
// one is named for its stage.
func (m mistake) write(to files, versions ...string) {
	serving := byDeployment
	if m.kserve {
		serving = byKServe
	}
	to[m.path()+"/model.yaml"] = fmt.Sprintf(`apiVersion: sluice.dev/v1alpha1
kind: Model
metadata:
  name: %[1]s
spec:
  serving:
%[2]s  stages:
  - name: %[1]s
    version: %[3]s
    gates: []
    rollout:
      drain: 1s
`, m.name, serving, versions[0])
	var all strings.Builder
	for _, version := range versions {
		uri := map[string]string{"a": "pvc://models/a", "b": m.uri(), "c": "s3://" + bucket + "/fraud/v7/model.json"}[version]
		fmt.Fprintf(&all, `---
apiVersion: sluice.dev/v1alpha1
kind: ModelVersion
metadata:
  name: %[1]s-%[2]s
spec:
  model: %[1]s
  version: %[2]s
  artifact:
    uri: %[3]s
    secretRef: {name: store}
  metrics: {auc: "0.9", failures: "0"} # of %[2]s
`, m.name, version, uri)
	}
	to[m.path()+"/versions.yaml"] = all.String()
}

// make makes the mistake.
func (m mistake) make(t *testing.T, in files) {
	t.Helper()
	m.write(in, "b", "a", "c")
	if m.was == "" {
		return
	}
	for _, file := range []string{m.path() + "/model.yaml", m.path() + "/versions.yaml"} {
		if before := in[file]; strings.Contains(before, m.was) {
			in[file] = strings.Replace(before, m.was, m.is, 1)
			return
		}
	}
	t.Fatalf("%s: there is no %q", m.name, m.was)
}

// mend does what somebody does about it who has read what is said. A ModelVersion that there is stays
// as it is: it never changes.
func (m mistake) mend(in files) {
	stays := in[m.path()+"/versions.yaml"]
	if m.next == "" {
		m.write(in, "b", "a", "c")
		return
	}
	m.write(in, m.next)
	in[m.path()+"/versions.yaml"] = stays
}

// gated has a gate of a kind, which waits.
func gated(name, gate string, says ...string) mistake {
	return mistake{name: name, was: "gates: []", is: "gates: [{name: checked, " + gate + "}]", waits: true, stage: append([]string{"gate checked: "}, says...)}
}

// measured is gated by a value that Prometheus is asked for.
func measured(name, address, query string, says ...string) mistake {
	return gated(name, fmt.Sprintf("analysis: {name: errors, interval: 1s, errorLimit: 1, max: \"0.5\", prometheus: {address: %q, query: %q}}", address, query),
		append([]string{"could not be measured: " + address + ": ", "2 samples in a row could not be measured, and at most 1 may"}, says...)...)
}

// stepped has other canary steps, which the API server refuses.
func stepped(name, steps string, says ...string) mistake {
	return mistake{name: name, was: "drain: 1s", is: "{drain: 1s, canary: " + steps + "}",
		overlay: append([]string{"mistakes/" + name + "/model.yaml", "Model.sluice.dev/platform/" + name, "spec.stages[0].rollout.canary"}, says...)}
}

// refused is a ModelVersion b that the API server refuses.
func refused(m mistake, says ...string) mistake {
	m.stage = []string{"there is no ModelVersion b of model " + m.name, "register it", "a, c"}
	m.overlay = append([]string{"mistakes/" + m.name + "/versions.yaml", "ModelVersion.sluice.dev/platform/" + m.name + "-b"}, says...)
	return m
}

// metric is refused for the value that it has of a metric.
func metric(name, auc string, says ...string) mistake {
	return refused(mistake{name: name, was: `{auc: "0.9", failures: "0"} # of b`, is: "{auc: " + auc + "}"}, append([]string{"spec.metrics", "auc"}, says...)...)
}

// stored has b elsewhere.
func stored(name, uri string) mistake {
	m := mistake{name: name, is: uri}
	m.was = m.uri()
	return m
}

// fetched is right but for what the store does with b.
func fetched(name string, says ...string) mistake {
	m := mistake{name: name, waits: true, next: "c"}
	m.stage = append([]string{"the artifact of b", m.uri()}, says...)
	return m
}

// mistakes are all of them. Some ask a Prometheus, and some what is none.
func mistakes(prometheus, other string) []mistake {
	const secret = rig.Canary
	return []mistake{
		// In the version that is asked for.
		{name: "unknown", was: "version: b\n    gates", is: "version: d\n    gates",
			stage: []string{"there is no ModelVersion d of model unknown in this namespace", "register it", "one of those there are (a, b, c)"}},
		{name: "of-another", was: "model: of-another\n  version: b", is: "model: churn\n  version: b", next: "c",
			stage: []string{"there is no ModelVersion b of model of-another", "register it", "(a, c)"}},
		{name: "twice", was: "# of c\n", is: "# of c\n" + `---
apiVersion: sluice.dev/v1alpha1
kind: ModelVersion
metadata: {name: twice-again}
spec: {model: twice, version: b, artifact: {uri: "pvc://models/b"}}
`, stage: []string{"version b of model twice is in two ModelVersions", "twice-again", "twice-b", "remove one of them"}},

		// In gates.
		gated("incomplete", `cel: "candidate.metrics.auc >="`, "does not compile at 1:25", "complete it"),
		gated("misspelt", `cel: "candidate.metric.auc > 0.9"`, "does not compile at 1:10", "there is no field metric", "mend its spelling"),
		gated("no-condition", `cel: "candidate.metrics.auc"`, "the expression gives a number", "compare it"),
		gated("costly", `cel: "candidate.metrics.all(x, candidate.metrics.all(y, candidate.metrics.all(z, x != y || y != z)))"`,
			"may take more than 10000 steps", "put fewer of all, exists, filter and map into one another"),
		gated("by-zero", `cel: "candidate.metrics.auc / current.metrics.failures > 0.5"`, "divides by zero", "auc of b is 0.9", "failures of a is 0"),
		gated("no-such-metric", `cel: "candidate.metrics.f1 >= 0.9"`, "b has no metric f1"),
		gated("no-such-hour", `window: {cron: "0 25 * * *", duration: 1h}`, `"0 25 * * *"`, "write five fields"),
		gated("no-such-zone", `window: {cron: "0 9 * * *", duration: 1h, timeZone: Mars/Olympus}`, `"Mars/Olympus" is not known`, "write an IANA name"),
		gated("no-such-stage", `soak: {stage: stagign, duration: 1h}`, "no-such-stage has no stage stagign", "name one that it has"),

		// In metrics.
		metric("word", "good", `"good"`, "a metric is a decimal number in quotes"),
		metric("not-a-number", `"NaN"`, `"NaN"`, "a metric is a decimal number in quotes"),
		metric("unquoted", "0.9", "auc is 0.9, and has to be a string: put it in quotes"),

		// In steps.
		stepped("fall", "[{traffic: 50}, {traffic: 10}]", "each step has more traffic than the one before"),
		stepped("exceed", "[{traffic: 10}, {traffic: 150}]", "[1].traffic", "150", "less than or equal to 100"),
		stepped("empty", "[]", "should have at least 1 items"),
		stepped("empty-step", "[{hold: 1s}]", "[0].traffic: Required value"),

		// In what serves: it is the agent's to set, or nobody's.
		{name: "selector", was: "replicas: 1\n", is: "replicas: 1\n        selector: {matchLabels: {app: scorer}}\n",
			stage: []string{"spec.serving.deployment.template.selector is set", "remove it"}},
		{name: "label", was: "        template:\n          spec:\n", is: "        template:\n          metadata: {labels: {" + v1alpha1.VersionLabel + ": b}}\n          spec:\n",
			stage: []string{"spec.serving.deployment.template.template.metadata.labels sets " + v1alpha1.VersionLabel, "the agent sets", "remove it"}},
		{name: "storage-uri", kserve: true, was: "modelFormat: {name: sklearn}", is: "modelFormat: {name: sklearn}\n            storageUri: s3://models/mine",
			stage: []string{"spec.serving.kserve.template.predictor.model.storageUri is set", "remove it"}},
		{name: "percent", kserve: true, was: "minReplicas: 1\n", is: "minReplicas: 1\n          canaryTrafficPercent: 10\n",
			stage: []string{"spec.serving.kserve.template.predictor.canaryTrafficPercent is set", "remove it", "rollout.canary"}},
		{name: "canary-of-its-own", kserve: true, was: "      template:\n", is: "      template:\n        canary: []\n",
			stage: []string{"spec.serving.kserve.template.canary is set", "remove it", "rollout.canary"}},
		{name: "no-such-field", was: "replicas: 1\n", is: "replica: 1\n", waits: true, stage: []string{"Deployment/platform/no-such-field-", ".spec.replica", "mend its spelling"}},
		{name: "nowhere", was: "    gates: []", is: "    namespace: no-such-place\n    gates: []", waits: true,
			stage: []string{"/no-such-place/nowhere-", "the namespace no-such-place is not there", "it is tried again as soon as it is"}},

		// In where the artifact is.
		refused(stored("outside", "s3://"+bucket+"/../secrets/model.json"), "spec.artifact.uri", "the URI has '..' in its path", "name the path that is meant"),
		refused(stored("user", "s3://reader:"+secret+"@"+bucket+"/user/b/model.json"), "spec.artifact.uri", "the URI has credentials, a query or a fragment in it", "go into the Secret"),

		refused(stored("query", "s3://"+bucket+"/query/b/model.json?X-Amz-Signature="+secret), "spec.artifact.uri", "the URI has credentials, a query or a fragment in it", "go into the Secret"),
		refused(stored("image-user", "oci://reader:"+secret+"@registry.example.com/fraud:b"), "spec.artifact.uri", "the URI has credentials, a query or a fragment in it", "go into the Secret"),

		// In where is asked.
		{name: "password", was: "gates: []", is: `gates: [{name: checked, analysis: {name: errors, max: "0", prometheus: {address: "http://me:` + secret + `@127.0.0.1:9090", query: "vector(0)"}}}]`,
			overlay: []string{"mistakes/password/model.yaml", "Model.sluice.dev/platform/password", "spec.stages[0].gates[0].analysis.prometheus.address", "without credentials", "go into the Secret"}},
		gated("check-password", `analysis: {name: answers, interval: 1s, errorLimit: 0, http: {url: "http://me:`+secret+`@127.0.0.1:9090/"}}`, "the URL: it holds credentials", "remove them"),

		// In what the store does.
		fetched("forbidden", "the store does not let it be read with the credentials given (403 AccessDenied)", "give credentials", "secretRef"),
		fetched("slow", "is being looked at"),
		fetched("silent", "the store made no progress for 30s", "check it and the network"),
		fetched("endless-list", "the store answers with more than 16 MiB where there should be less", "check the endpoint"),
		fetched("endless-pages", "the store wants ever more requests", "check the endpoint"),
		fetched("endless-file", "it changed while it was read", "still being uploaded"),

		// In what Prometheus answers.
		measured("vector", prometheus, `vector(1) or label_replace(vector(2), "a", "b", "", "")`, "the query gives 2 series", "aggregate it"),
		measured("nothing", prometheus, "absent(vector(1))", "the query gives nothing", "correct the labels"),
		measured("undefined", prometheus, "vector(0) / vector(0)", "the query gives NaN", "guard the divisor"),
		measured("range", prometheus, "vector(1)[1m:1s]", "the query gives a range of values", "make one of it"),
		measured("no-query", prometheus, "sum(rate(", "it refuses the query", "parse error", "correct the query"),
		{name: "in-canary", was: "drain: 1s\n", is: "drain: 1s\n      canary: [{traffic: 10, hold: 10m}]\n" + analysed(prometheus, `vector(1) or label_replace(vector(2), "a", "b", "", "")`, 1),
			shifts: true, stage: []string{"b failed at 10 %", "analysis errors", "the query gives 2 series", "all traffic is back on a"}},

		// In who answers in its place.
		measured("page", other+"/page", "vector(0)", "what answers is no Prometheus, but HTML", "correct the address"),
		measured("other-json", other+"/json", "vector(0)", "what answers is no Prometheus, but other JSON", "correct the address"),
		measured("no-number", other+"/word", "vector(0)", `the query gives "plenty", which is no number`, "correct the query"),
		measured("half", other+"/half", "vector(0)", "what answers is no Prometheus, but text", "correct the address"),
		measured("endless-answer", other+"/endless", "vector(0)", "its answer has more than 1 MiB", "ask for less"),
	}
}

// startOther answers where a Prometheus is looked for, and is none: it stands for a page for people,
// other JSON, a value that is no number, an answer of which half is there, and one that does not end.
func startOther(t *testing.T) string {
	t.Helper()
	answers := map[string]string{
		"page": "<html><body>Sign in</body></html>", "json": `{"items": []}`,
		"word": `{"status": "success", "data": {"resultType": "scalar", "result": [1, "plenty"]}}`, "half": `{"status": "success", "data": {"resultType": "sca`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		which, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		_, err := io.WriteString(w, answers[which])
		for which == "endless" && err == nil {
			_, err = io.WriteString(w, strings.Repeat("more ", 1<<10))
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// storeOf gives what the store does to the artifacts of some Models, by their names.
func storeOf(faults map[string]objectstore.Fault) objectstore.Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key := r.URL.Query().Get("prefix") // of a listing
			if key == "" {
				key = strings.TrimPrefix(r.URL.Path, "/"+bucket+"/")
			}
			name, _, _ := strings.Cut(key, "/")
			if fault := faults[name]; fault != nil {
				fault(next).ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// endlessPages is a listing each page of which has nothing and names another.
func endlessPages(http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		fmt.Fprintf(w, `<?xml version="1.0"?><ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>%d</NextContinuationToken></ListBucketResult>`, time.Now().UnixNano())
	})
}

// One commit has all that can be wrong, each in a Model of its own, and promotes two that are right.
// These get on. The others say what is wrong with them, where people look; what serves them is not
// touched, and nothing tells a secret. One commit mends it all.
func TestBadInput(t *testing.T) {
	h := routedHouse(t, stepwise, "v8")
	h.neighbour("near", "a", "s3://"+bucket+"/fraud/v8/model.json", "")
	all := mistakes(unscraped(t, "").URL, startOther(t))
	for _, m := range all {
		m.write(h.files, "a")
		content := "b of " + m.name
		if m.name == "slow" {
			content = strings.Repeat("x", 8<<20) // half an hour of it
		}
		if err := h.store.Put(context.Background(), bucket, m.name+"/b/model.json", strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	h.begin()
	t.Cleanup(h.KillAgent) // first of all: while it reads what comes slowly, the store does not end
	for _, m := range all {
		h.Overlay(m.name, m.path(), func(o *v1alpha1.Overlay) { o.Spec.TargetNamespace = h.Namespace })
	}
	h.serves("production", "v7")
	h.neighbourServes("near", "a")
	for _, m := range all {
		h.neighbourServes(m.name, "a")
	}

	g := h.guard(all)
	h.store.Misbehave(storeOf(map[string]objectstore.Fault{
		"forbidden": objectstore.Status(http.StatusForbidden), "slow": objectstore.Slow(4<<10, time.Second), "silent": objectstore.Silent(),
		"endless-list": objectstore.Endless("<ListBucketResult>", "<Contents><Key>x</Key></Contents>"), "endless-pages": endlessPages,
		"endless-file": objectstore.Objects(objectstore.Endless("", "more")),
	}))
	for _, m := range all {
		m.make(t, h.files)
	}
	h.set("production", "v8")
	h.neighbour("near", "b", "s3://"+bucket+"/fraud/v8/model.json", "")
	broken := h.push("all that can be wrong")
	h.serves("production", "v8")
	h.neighbourServes("near", "b")
	for _, m := range all {
		t.Run(m.name, func(t *testing.T) { h.at(t).says(m, broken) })
	}
	h.untouched(g)
	h.tellsNoSecret()

	for _, m := range all {
		m.mend(h.files)
	}
	h.push("all is mended")
	for _, m := range all {
		t.Run("mended "+m.name, func(t *testing.T) { h.at(t).goesOn(m) })
	}
	if now := h.route(); now != "fraud-v8=100" {
		t.Errorf("the traffic of fraud is divided %s", now)
	}
	h.tellsNoSecret()
}

// at is the house as a part of the test sees it.
func (h *house) at(t *testing.T) *house {
	seen, of := *h, *h.Rig
	of.T, seen.Rig = t, &of
	return &seen
}

// says waits until it is said what is wrong: by the stage, by the Promotion if there is one, by the
// Overlay if the API server refuses an object.
func (h *house) says(m mistake, revision string) {
	h.T.Helper()
	phase := v1alpha1.StageHeld
	switch {
	case m.stage == nil: // the Model is as it was before
		phase = v1alpha1.StageServing
	case m.waits:
		phase = v1alpha1.StagePromoting
	}
	var s v1alpha1.StageStatus
	var said string
	h.Eventually("it is said what is wrong", func() (bool, string) {
		o := h.GetOverlay(m.name)
		s, said = h.only(m.name), rig.Ready(o).Message
		promoted := s.Message
		if m.waits || m.shifts {
			promoted = h.promotions(m.name)[0].Status.Message
		}
		return o.Status.AttemptedRevision == revision && s.Phase == phase && mentions(s.Message, m.stage) && mentions(promoted, m.stage) && mentions(said, m.overlay),
			fmt.Sprintf("%s %s: %s\nPromotion: %s\nOverlay: %s", s.Phase, s.Version, s.Message, promoted, said)
	})
	h.T.Logf("the stage, %s: %s", s.Phase, s.Message)
	if m.overlay != nil {
		h.T.Logf("the Overlay: %s", said)
	}
	if s.Version != "a" || s.Traffic != 0 {
		h.T.Errorf("a does not serve alone: %+v", s)
	}
	if n := len(h.promotions(m.name)); n > 1 != (m.waits || m.shifts) {
		h.T.Errorf("there are %d Promotions: %s", n, h.trail(m.name))
	}
}

func mentions(text string, all []string) bool {
	return !slices.ContainsFunc(all, func(part string) bool { return !strings.Contains(text, part) })
}

// goesOn waits until the version serves with which it is mended, and looks for what is left over or
// lost.
func (h *house) goesOn(m mistake) {
	h.T.Helper()
	h.neighbourServes(m.name, m.goal())
	h.Eventually("what serves is what is on record", func() (bool, string) {
		there, recorded := h.servedBy(m.name), h.recorded(m.name)
		return len(there) > 0 && slices.Equal(there, recorded) && !slices.ContainsFunc(there, func(name string) bool { return strings.HasSuffix(name, "-a") }),
			fmt.Sprintf("there are %q, on record are %q", there, recorded)
	})
	if m.next == "" {
		h.WaitReady(m.name)
	}
	trail := h.trail(m.name)
	if !strings.HasPrefix(trail, "a Succeeded") || !strings.HasSuffix(trail, ", "+m.goal()+" Succeeded") || strings.Count(trail, "Succeeded") != 2 {
		h.T.Errorf("the promotions went: %s", trail)
	}
}

// guard watches over what serves.
type guard struct {
	mu     sync.Mutex
	before map[string]string // specs, by the names of what serves
	hurt   []string
}

// servingKinds are the kinds of what serves Models.
var servingKinds = []schema.GroupVersionKind{
	{Version: "v1", Kind: "Service"},
	{Group: "apps", Version: "v1", Kind: "Deployment"},
	{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"},
	{Group: "serving.kserve.io", Version: "v1beta1", Kind: "InferenceService"},
}

// objects are those of a kind that serve Models, by their names, and what they are like now. What
// controllers made of them is not counted.
func (h *house) objects(kind schema.GroupVersionKind, models client.ListOption) (specs map[string]string, at string) {
	h.T.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	if err := h.Client.List(context.Background(), list, models); err != nil {
		h.T.Fatal(err)
	}
	specs = map[string]string{}
	for n := range list.Items {
		if o := &list.Items[n]; len(o.GetOwnerReferences()) == 0 {
			specs[nameOf(o)] = specOf(h.T, o)
		}
	}
	return specs, list.GetResourceVersion()
}

// servedBy are the names of what serves a Model.
func (h *house) servedBy(model string) []string {
	h.T.Helper()
	var names []string
	for _, kind := range servingKinds {
		specs, _ := h.objects(kind, client.MatchingLabels{v1alpha1.ModelLabel: model})
		names = slices.AppendSeq(names, maps.Keys(specs))
	}
	slices.Sort(names)
	return names
}

// recorded is what is on record of a Model.
func (h *house) recorded(model string) []string {
	h.T.Helper()
	var list v1alpha1.InventoryList
	if err := h.Client.List(context.Background(), &list, client.InNamespace(h.Namespace), client.MatchingLabels{v1alpha1.ModelLabel: model}); err != nil {
		h.T.Fatal(err)
	}
	var names []string
	for _, i := range list.Items {
		for _, e := range i.Entries {
			names = append(names, fmt.Sprintf("%s %s/%s", e.Kind, e.Namespace, e.Name))
		}
	}
	slices.Sort(names)
	return names
}

func nameOf(o *unstructured.Unstructured) string {
	return fmt.Sprintf("%s %s/%s", o.GetKind(), o.GetNamespace(), o.GetName())
}

// specOf tells whether an object is the same, and as it was.
func specOf(t testing.TB, o *unstructured.Unstructured) string {
	return asJSON(t, []any{o.GetUID(), o.Object["spec"]})
}

func asJSON(t testing.TB, v any) string {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// guard watches from now on over what serves the Models.
func (h *house) guard(of []mistake) *guard {
	h.T.Helper()
	g := &guard{before: map[string]string{}}
	var models []string
	for _, m := range of {
		if !m.shifts {
			models = append(models, m.name)
		}
	}
	those, err := labels.NewRequirement(v1alpha1.ModelLabel, selection.In, models)
	if err != nil {
		h.T.Fatal(err)
	}
	chosen := client.MatchingLabelsSelector{Selector: labels.NewSelector().Add(*those)}
	for _, kind := range servingKinds {
		specs, at := h.objects(kind, chosen)
		maps.Copy(g.before, specs)
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		events, err := h.Client.Watch(context.Background(), list, chosen, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: at}})
		if err != nil {
			h.T.Fatal(err)
		}
		h.T.Cleanup(events.Stop)
		go g.follow(h.T, events)
	}
	if len(g.before) < 3*len(models) { // a Deployment, a Service and a route each
		h.T.Fatalf("%d objects serve %d Models: the test is broken", len(g.before), len(models))
	}
	return g
}

// follow notes what happens to what was there.
func (g *guard) follow(t testing.TB, events apiwatch.Interface) {
	for event := range events.ResultChan() {
		o, is := event.Object.(*unstructured.Unstructured)
		if !is || event.Type == apiwatch.Error {
			g.note("the watch of the test broke off")
			return
		}
		switch before, now := g.before[nameOf(o)], specOf(t, o); {
		case before == "" || event.Type != apiwatch.Deleted && before == now:
		case event.Type == apiwatch.Deleted:
			g.note(nameOf(o) + " was deleted")
		default:
			g.note(fmt.Sprintf("%s was changed from %s to %s", nameOf(o), before, now))
		}
	}
}

func (g *guard) note(what string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hurt = append(g.hurt, what)
}

// untouched fails the test if anything became of what is watched over.
func (h *house) untouched(g *guard) {
	h.T.Helper()
	now := map[string]string{}
	for _, kind := range servingKinds {
		specs, _ := h.objects(kind, client.HasLabels{v1alpha1.ModelLabel})
		maps.Copy(now, specs)
	}
	for name, before := range g.before {
		if now[name] != before {
			h.T.Errorf("%s was %s, and is %s", name, before, now[name])
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, what := range g.hurt {
		h.T.Error(what)
	}
}

// tellsNoSecret fails the test if a secret is in what the agent wrote: in a status, in a Promotion,
// an event or the log.
func (h *house) tellsNoSecret() {
	h.T.Helper()
	wrote := map[string]string{"the log": h.Log()}
	var models v1alpha1.ModelList
	var versions v1alpha1.ModelVersionList
	var promotions v1alpha1.PromotionList
	var overlays v1alpha1.OverlayList
	var events corev1.EventList
	for _, list := range []client.ObjectList{&models, &versions, &promotions, &overlays, &events} {
		if err := h.Client.List(context.Background(), list); err != nil {
			h.T.Fatal(err)
		}
	}
	for _, o := range models.Items {
		wrote["Model "+o.Name] = asJSON(h.T, o.Status)
	}
	for _, o := range versions.Items {
		wrote["ModelVersion "+o.Name] = asJSON(h.T, o.Status)
	}
	for _, o := range promotions.Items {
		wrote["Promotion "+o.Name] = asJSON(h.T, o)
	}
	for _, o := range overlays.Items {
		wrote["Overlay "+o.Name] = asJSON(h.T, o.Status)
	}
	for _, o := range events.Items {
		wrote["an event about "+o.InvolvedObject.Kind+" "+o.InvolvedObject.Name+", "+o.Name] = o.Message
	}
	for _, where := range slices.Sorted(maps.Keys(wrote)) {
		for line := range strings.Lines(wrote[where]) {
			if strings.Contains(line, rig.Canary) || strings.Contains(line, h.store.SecretKey) {
				h.T.Errorf("%s tells a secret: %s", where, line)
				break
			}
		}
	}
}
