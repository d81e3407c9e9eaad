package sync_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// guarded starts a story of its own, whose API server asks webhooks.
func guarded(t *testing.T, first files) *story {
	t.Helper()
	t.Parallel()
	s := &story{Rig: rig.New(t, cluster.Options{Webhooks: true})}
	s.git = s.Repository("platform", nil)
	s.push("begin", gitserver.Change{Files: first})
	s.StartAgent()
	s.Overlay("neighbour", "neighbour")
	return s
}

// judge is the backend of a webhook. It refuses what has the label refused: "yes", and keeps
// count of what it was asked.
type judge struct {
	*httptest.Server

	mu    sync.Mutex
	asked map[string]int // names of objects, without dry-runs
}

func newJudge(t *testing.T) *judge {
	t.Helper()
	j := &judge{asked: map[string]int{}}
	j.Server = httptest.NewTLSServer(http.HandlerFunc(j.review))
	t.Cleanup(j.Close)
	return j
}

func (j *judge) review(w http.ResponseWriter, r *http.Request) {
	var review admissionv1.AdmissionReview
	var object metav1.PartialObjectMetadata
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := json.Unmarshal(review.Request.Object.Raw, &object); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if review.Request.DryRun == nil || !*review.Request.DryRun {
		j.mu.Lock()
		j.asked[object.Name]++
		j.mu.Unlock()
	}
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: object.Labels["refused"] != "yes",
		Result: &metav1.Status{Message: "the label refused says so"}}
	_ = json.NewEncoder(w).Encode(review) // the API server has gone, if it fails
}

func (j *judge) times(name string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.asked[name]
}

// authority is what the webhook configuration trusts.
func (j *judge) authority() string {
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: j.Certificate().Raw})
	return base64.StdEncoding.EncodeToString(certificate)
}

// webhook has ConfigMaps and Deployments of a namespace judged by a backend.
func webhook(name, namespace, url, authority string) string {
	return fmt.Sprintf(`apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: %s}
webhooks:
- name: %s.example.com
  clientConfig: {url: "%s", caBundle: "%s"}
  failurePolicy: Fail
  timeoutSeconds: 10
  sideEffects: None
  admissionReviewVersions: [v1]
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}
  rules:
  - {apiGroups: ["", apps], apiVersions: [v1], resources: [configmaps, deployments], operations: [CREATE, UPDATE], scope: Namespaced}
`, name, name, url, authority, namespace)
}

// A commit brings a webhook, its backend and the objects it judges. The webhook comes last, so
// that it cannot keep its own backend out, and not at all while something before it fails.
func TestWebhookComesLast(t *testing.T) {
	j := newJudge(t)
	s := guarded(t, files{
		"app/a-webhook.yaml": webhook("judge", "NS", j.URL, j.authority()),
		"app/backend.yaml":   deployment("backend", "", 1),
		"app/service.yaml":   newObject("v1", "Service", "backend", "spec: {selector: {app: backend}, ports: [{port: 443}]}\n"),
		"app/settings.yaml":  configMap("settings", "color: red"),
		"app/wrong.yaml":     newObject("v1", "Service", "wrong", "spec: {ports: [{port: 99999}]}\n"),
	})
	const group, version = "admissionregistration.k8s.io", "/v1"
	s.Overlay("app", "app")
	s.says("app", v1alpha1.ApplyFailedReason)
	s.live("apps/v1", "Deployment", "backend")
	if s.Get(group+version, "ValidatingWebhookConfiguration", "", "judge") != nil {
		t.Error("the webhook is there before all of its Overlay is")
	}

	s.readyAt("app", s.commit("mend it", files{"app/wrong.yaml": newObject("v1", "Service", "wrong", "spec: {ports: [{port: 80}]}\n")}))
	var order []string
	for _, q := range s.Calls().By("sluice/").Writes().Verb("patch", "create") {
		if q.Code == http.StatusCreated && slices.Contains([]string{"judge", "backend", "settings", "wrong"}, q.Name) {
			order = append(order, q.Resource)
		}
	}
	if n := slices.Index(order, "validatingwebhookconfigurations"); len(order) != 5 || n != 4 {
		t.Errorf("objects were created in the order %v, want the webhook after the four others", order)
	}
	if n := j.times("backend") + j.times("settings"); n > 0 {
		t.Errorf("the webhook was asked %d times about what is older than itself", n)
	}

	// Now that it is there, it is asked.
	s.Eventually("the webhook is in force", func() (bool, string) {
		err := s.tryPatch("somebody", "v1", "ConfigMap", "settings", "metadata: {annotations: {asked: 'yes'}}")
		return err == nil && j.times("settings") > 0, fmt.Sprint(err)
	})
	before := j.times("settings")
	s.readyAt("app", s.commit("another color", files{"app/settings.yaml": configMap("settings", "color: blue")}))
	if is := s.data("settings", "color"); is != "blue" || j.times("settings") == before {
		t.Errorf("color is %s, the webhook was asked %d times", is, j.times("settings")-before)
	}

	// What it refuses is refused, and only that.
	refused := strings.Replace(configMap("refused", "a: b"), "  namespace: NS\n", "  namespace: NS\n  labels: {refused: 'yes'}\n", 1)
	revision := s.commit("more", files{"app/refused.yaml": refused, "app/settings.yaml": configMap("settings", "color: green")})
	s.mentions(s.saysAt("app", revision, v1alpha1.ApplyFailedReason), "app/refused.yaml", "ConfigMap/NS/refused", "judge.example.com", "the label refused says so")
	s.becomes("green", "v1", "ConfigMap", "settings", "data", "color")
	s.readyAt("app", s.commit("mend it", files{"app/refused.yaml": configMap("refused", "a: b")}))
	s.othersGoOn()
}

// silent is a server that takes connections and never says a word.
type silent struct {
	net.Listener

	mu    sync.Mutex
	taken []net.Conn
}

func newSilent(t *testing.T) *silent {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &silent{Listener: l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.taken = append(s.taken, c) // kept open
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range s.taken {
			_ = c.Close()
		}
	})
	return s
}

func (s *silent) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken)
}

// A webhook hangs, and an Overlay has many objects that it is to judge: the Overlay says so and
// names it, and the commits of others are applied all the while.
func TestWebhookThatHangs(t *testing.T) {
	const many = 40
	s := guarded(t, files{
		"stuck/first.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: first, namespace: stuck}\n",
	})
	s.Create(namespace("stuck"))
	s.Overlay("stuck", "stuck")
	s.WaitReady("stuck")
	s.othersGoOn()
	hangs := newSilent(t)
	configuration := s.apply("somebody", webhook("hangs", "stuck", "https://"+hangs.Addr().String(), ""))
	s.Eventually("the webhook is in force", func() (bool, string) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		probe := s.object("v1", "ConfigMap", "first")
		probe.SetNamespace("stuck")
		err := s.Client.Patch(ctx, probe, client.RawPatch("application/merge-patch+json", []byte(`{"data":{"a":"b"}}`)), client.DryRunAll)
		return hangs.count() > 0, fmt.Sprint(err)
	})

	written := files{}
	for n := range many {
		written[fmt.Sprintf("stuck/more-%02d.yaml", n)] = fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more-%02d, namespace: stuck}\n", n)
	}
	before := hangs.count()
	s.commit("many objects", written)
	s.Eventually("the webhook is asked", func() (bool, string) { return hangs.count() > before, "nobody asks" })

	// As long as it hangs, and whatever pass over the Overlay is under way.
	const commits = 12
	for n := range commits {
		start := time.Now()
		s.commit("the neighbour only", nil)
		s.othersGoOn()
		t.Logf("commit %d of the neighbour: %s", n, time.Since(start).Round(10*time.Millisecond))
		time.Sleep(time.Second) // other moments of the other Overlay's tries
	}
	o := s.WaitOverlay("stuck", "names the webhook", func(o *v1alpha1.Overlay) bool {
		return rig.Ready(o).Status == metav1.ConditionFalse && strings.Contains(rig.Ready(o).Message, "hangs.example.com")
	})
	s.mentions(s.told(o), "stuck/more-", "does not answer")

	if err := s.Client.Delete(context.Background(), configuration); err != nil {
		t.Fatal(err)
	}
	o = s.WaitReady("stuck")
	if o.Status.Objects.Total != many+1 || o.Status.Objects.Healthy != many+1 {
		t.Errorf("%+v, want %d", o.Status.Objects, many+1)
	}
}
