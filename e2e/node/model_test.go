package node_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/node"
	"github.com/sluice-dev/sluice/e2e/objectstore"
)

// What the versions of the story answer to [1, 2]. Whatever is put into the place of an artifact
// says that it is another one.
const (
	artifactV7  = `{"version": "v7", "weights": [0.5, 2], "bias": 1}`
	artifactV8  = `{"version": "v8", "weights": [3, 0.5], "bias": -1}`
	artifactV9  = `{"version": "v9", "weights": [1, 1]}`
	artifactV10 = `{"version": "v10", "weights": [2, 2]}`
	tampered    = `{"version": "tampered", "weights": [666, 666]}`
)

var answers = map[string]float64{"v7": 5.5, "v8": 3}

// modelUnderLoad promotes versions of a model that containers serve, while clients ask without
// end: not one request may fail, and nothing may answer that was not registered.
//
// The clients ask from the node, at the cluster IP of the model's Service. There is no name service
// and no gateway here: it is kube-proxy alone that leads each connection to a Pod. What makes it
// possible that no request fails:
//
//   - the agent has the Service lead to a version when all its Pods are ready, and not before;
//   - the version before goes on for the time of rollout.drain: for those who come to it because
//     kube-proxy has not heard of the change yet, and for those who keep their connection;
//   - a Pod that is told to end goes on as well, and sends those away who keep their connection. That
//     is for the program in it to do: it is so in e2e/modelserver.
func modelUnderLoad(t *testing.T, s *story) {
	image(t, s.node, "-package", "./e2e/modelserver", "-name", "example.com/modelserver", "-version", "v1")
	s.serveGit()
	s.install()
	m := newModel(s)

	s.step("v7 is registered with the Model; it serves")
	m.register("v7", artifactV7)
	m.register("v8", artifactV8)
	m.push("v7")
	s.tenant()
	m.furnish()
	m.serves("v7")
	service := "http://" + s.kubectl("get", "service", "fraud", "-n", s.namespace, "-o", "jsonpath={.spec.clusterIP}")
	s.wantAnswer(service+"/v1/models/fraud:predict", `"version":"v7"`)

	s.step("clients begin to ask")
	m.clients = startClients(t, service+"/v1/models/fraud:predict", answers)
	m.hear("v7")

	s.step("a commit says v8; everybody is told by v8, and v7 ends")
	before, pushed := m.clients.asked(), m.push("v8")
	m.serves("v8")
	m.gone("v7")
	m.hear("v8")
	m.wantDrained("v7", "v8")
	t.Logf("         %d requests meanwhile; from the commit to the first answer of v8 %.1f s, to the last of v7 %.1f s",
		m.clients.asked()-before, m.clients.first("v8", pushed).Sub(pushed).Seconds(), m.clients.last("v7").Sub(pushed).Seconds())

	s.step("the artifact of v9 is not what was registered; v9 is not brought up")
	m.register("v9", artifactV9)
	m.put("v9", tampered)
	m.push("v9")
	m.await("v9 is refused", func(st v1alpha1.StageStatus) bool {
		return st.Version == "v8" && st.Candidate == "v9" && strings.Contains(st.Message, "not what was registered")
	})
	m.hear("v8")
	if pods := m.pods("v9"); len(pods) != 0 {
		t.Errorf("there are %d Pods of v9", len(pods))
	}

	s.step("the artifact of v10 is replaced when it has been verified; its Pods refuse it")
	m.register("v10", artifactV10)
	s.kubectl("cordon", node.Name)
	m.push("v10")
	m.eventually("the Pods of v10 wait for a node", func() (bool, string) {
		pods := m.pods("v10")
		return len(pods) == 2, fmt.Sprintf("%d are there", len(pods))
	})
	m.put("v10", tampered)
	s.kubectl("uncordon", node.Name)
	m.refused("v10", 2)
	m.hear("v8")
	m.await("v10 is brought up, and v8 serves", func(st v1alpha1.StageStatus) bool {
		return st.Version == "v8" && st.Candidate == "v10" && st.Phase == v1alpha1.StagePromoting && st.Traffic == 0
	})

	s.step("a commit takes v10 back")
	m.push("v8")
	m.serves("v8")
	m.gone("v10")

	s.step("the artifact of v8 is replaced while it serves; a Pod that begins anew refuses it, the other one goes on")
	m.put("v8", tampered)
	s.kubectl("delete", "pod", m.pods("v8")[0].Name, "-n", s.namespace)
	m.refused("v8", 1)
	m.await("the stage is not healthy", func(st v1alpha1.StageStatus) bool {
		return st.Version == "v8" && st.Phase == v1alpha1.StageUnhealthy
	})
	m.hear("v8")

	s.step("the artifact is put back, and the Pod serves")
	m.put("v8", artifactV8)
	m.serves("v8")
	m.hear("v8")

	s.step("a commit says v7; everybody is told by v7 again")
	pushed = m.push("v7")
	m.serves("v7")
	m.hear("v7")
	t.Logf("         from the commit to the first answer of v7 %.1f s", m.clients.first("v7", pushed).Sub(pushed).Seconds())

	m.clients.stop()
	for _, failure := range m.clients.failures() {
		t.Error(failure)
	}
	for _, a := range m.clients.all {
		if changes := a.changes(); changes != "v7 v8 v7" {
			t.Errorf("%s was told by %s", a.name, changes)
		}
	}
	t.Logf("         %d requests, %d failed", m.clients.asked(), len(m.clients.failures()))
	m.wantRights()
}

// model is the Model fraud with its repository, its artifacts, and those who ask it.
type model struct {
	*story
	store   *objectstore.Server
	api     client.Client
	files   map[string]string // as last pushed
	clients *clients          // from when they begin to ask
	earlier cluster.Requests  // to the API server, before the story
}

const bucketOfModels = "models"

// newModel starts an S3 server that Pods reach.
func newModel(s *story) *model {
	s.t.Helper()
	m := &model{story: s, files: map[string]string{
		"models/kustomization.yaml":          "resources: [model.yaml, versions]\n",
		"models/versions/kustomization.yaml": "resources:\n",
	}}
	var err error
	m.store, err = objectstore.Start(s.t.Context(), objectstore.Options{Address: node.Address})
	s.must(err)
	s.t.Cleanup(func() {
		if err := m.store.Stop(); err != nil {
			s.t.Error(err)
		}
	})
	s.must(m.store.CreateBucket(s.t.Context(), bucketOfModels))
	scheme := runtime.NewScheme()
	s.must(clientgoscheme.AddToScheme(scheme))
	s.must(v1alpha1.AddToScheme(scheme))
	log.SetLogger(logr.Discard()) // the library complains if nobody does
	m.api, err = client.New(s.node.Cluster.Config(), client.Options{Scheme: scheme})
	s.must(err)
	m.earlier, err = s.node.Cluster.Requests(s.t.Context())
	s.must(err)
	return m
}

// furnish makes what the platform team makes: an account in whose name models are served, with the
// rights that docs/models.md names, the credentials of the store, and the Overlay.
func (m *model) furnish() {
	m.t.Helper()
	m.credentials()
	m.apply(fmt.Sprintf(furniture, m.namespace))
}

// credentials makes the Secret that leads to the store.
func (m *model) credentials() {
	m.t.Helper()
	m.must(m.api.Create(m.t.Context(), m.store.Secret(m.namespace, "store")))
}

const furniture = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: model-server, namespace: %[1]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: model-server, namespace: %[1]s}
rules:
- {apiGroups: [""], resources: [services], verbs: [get, list, watch, create, patch, delete]}
- {apiGroups: [apps], resources: [deployments], verbs: [get, list, watch, create, patch, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: model-server, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: model-server}
subjects: [{kind: ServiceAccount, name: model-server, namespace: %[1]s}]
---
apiVersion: sluice.dev/v1alpha1
kind: Overlay
metadata: {name: models, namespace: %[1]s}
spec:
  repositoryRef: {name: platform}
  path: models
  targetNamespace: %[1]s
  serviceAccountName: deployer
`

// manifest is the Model as it is in Git. Its containers are told the digest that was verified, and
// refuse anything else.
const manifest = `apiVersion: sluice.dev/v1alpha1
kind: Model
metadata:
  name: fraud
spec:
  serviceAccountName: model-server
  serving:
    deployment:
      port: 8080
      template:
        replicas: 2
        template:
          spec:
            automountServiceAccountToken: false
            enableServiceLinks: false
            containers:
            - name: server
              image: example.com/modelserver:v1
              imagePullPolicy: IfNotPresent
              terminationMessagePolicy: FallbackToLogsOnError
              env:
              - {name: MODEL_NAME, value: fraud}
              - {name: DRAIN, value: 10s} # until kube-proxy has taken in that a Pod ends
              - {name: MODEL_URI, value: "${uri}"}
              - {name: MODEL_DIGEST, value: "${digest}"}
              - {name: AWS_ENDPOINT_URL_S3, value: %q}
              - {name: AWS_REGION, value: us-east-1}
              - {name: AWS_ACCESS_KEY_ID, valueFrom: {secretKeyRef: {name: store, key: AWS_ACCESS_KEY_ID}}}
              - {name: AWS_SECRET_ACCESS_KEY, valueFrom: {secretKeyRef: {name: store, key: AWS_SECRET_ACCESS_KEY}}}
              ports: [{containerPort: 8080}]
              readinessProbe:
                httpGet: {path: /healthz, port: 8080}
                periodSeconds: 1
                timeoutSeconds: 10 # of a machine that is busy with tests
  stages:
  - name: production
    version: %s
`

// put writes an artifact and returns its digest.
func (m *model) put(version, content string) string {
	m.t.Helper()
	m.must(m.store.Put(m.t.Context(), bucketOfModels, "fraud/"+version+"/model.json", strings.NewReader(content)))
	sum := sha256.Sum256([]byte(content))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// register adds a ModelVersion to what is pushed next.
func (m *model) register(version, content string) {
	m.t.Helper()
	m.files["models/versions/"+version+".yaml"] = fmt.Sprintf(`apiVersion: sluice.dev/v1alpha1
kind: ModelVersion
metadata:
  name: fraud-%[1]s
spec:
  model: fraud
  version: %[1]s
  artifact:
    uri: s3://%[2]s/fraud/%[1]s/model.json
    digest: %[3]s
    secretRef: {name: store}
`, version, bucketOfModels, m.put(version, content))
	m.files["models/versions/kustomization.yaml"] += "- " + version + ".yaml\n"
}

// push commits that production is to serve a version, and returns when.
func (m *model) push(version string) time.Time {
	m.t.Helper()
	m.files["models/model.yaml"] = fmt.Sprintf(manifest, m.store.Endpoint, version)
	_, err := m.repository.Commit(gitserver.Change{Message: "fraud: " + version + " to production", Files: m.files})
	m.must(err)
	return time.Now()
}

// patience is how long a wait may take before the test fails. It is no measure of anything.
const patience = 3 * time.Minute

// eventually waits for a condition. It gives up at the first request that fails.
func (m *model) eventually(what string, is func() (bool, string)) {
	m.t.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		met, why := is()
		if met {
			return
		}
		if m.clients != nil && len(m.clients.failures()) > 0 {
			m.t.Fatalf("requests failed, while it was waited for this: %s\n%s", what, strings.Join(m.clients.failures(), "\n"))
		}
		if time.Since(began) > patience {
			m.t.Fatalf("not: %s: %s", what, why)
		}
	}
}

// await waits until the stage is as it should be.
func (m *model) await(what string, is func(v1alpha1.StageStatus) bool) {
	m.t.Helper()
	m.eventually(what, func() (bool, string) {
		var found v1alpha1.Model
		if err := m.api.Get(m.t.Context(), client.ObjectKey{Namespace: m.namespace, Name: "fraud"}, &found); err != nil {
			return false, err.Error()
		}
		if len(found.Status.Stages) == 0 {
			return false, "it has no status"
		}
		st := found.Status.Stages[0]
		return is(st), fmt.Sprintf("%s %s, candidate %q: %s", st.Phase, st.Version, st.Candidate, st.Message)
	})
}

// serves waits until a version serves and nothing else is on its way.
func (m *model) serves(version string) {
	m.t.Helper()
	m.await(version+" serves", func(st v1alpha1.StageStatus) bool {
		return st.Phase == v1alpha1.StageServing && st.Version == version
	})
}

// hear waits until every client was told many times more, at last by a version.
func (m *model) hear(version string) {
	m.t.Helper()
	m.eventually("all clients are told by "+version, m.clients.hear(version, 100))
}

// wantDrained wants that those who kept their connection were told by the version before for longer
// than those who came anew: it went on until nobody was led to it any more.
func (m *model) wantDrained(before, after string) {
	m.t.Helper()
	led := m.clients.first(after, time.Time{})
	for _, a := range m.clients.all {
		if stayed := a.last(before); a.keeps && !stayed.After(led) {
			m.t.Errorf("%s was told by %s until %s, and %s answered from %s on", a.name, before, stayed, after, led)
		}
	}
}

// pods are those of a version.
func (m *model) pods(version string) []corev1.Pod {
	m.t.Helper()
	var list corev1.PodList
	m.must(m.api.List(m.t.Context(), &list, client.InNamespace(m.namespace), client.MatchingLabels{v1alpha1.VersionLabel: version}))
	return list.Items
}

func (m *model) gone(version string) {
	m.t.Helper()
	m.eventually("the Pods of "+version+" are gone", func() (bool, string) {
		pods := m.pods(version)
		return len(pods) == 0, fmt.Sprintf("%d are there", len(pods))
	})
}

// refused waits until a number of Pods have ended because the artifact is not what was verified.
func (m *model) refused(version string, want int) {
	m.t.Helper()
	m.eventually(fmt.Sprintf("%d Pods refuse the artifact of %s", want, version), func() (bool, string) {
		refused, last := 0, ""
		for _, pod := range m.pods(version) {
			last = lastWords(pod)
			if strings.Contains(last, "it is not what was registered") {
				refused++
			}
		}
		return refused == want, fmt.Sprintf("%d do; one says: %s", refused, last)
	})
}

// lastWords are with what the container of a Pod has ended; empty if it has not.
func lastWords(pod corev1.Pod) string {
	for _, c := range pod.Status.ContainerStatuses {
		for _, state := range []corev1.ContainerState{c.State, c.LastTerminationState} {
			if state.Terminated != nil {
				return state.Terminated.Message
			}
		}
	}
	return ""
}

// wantRights wants that nothing was refused to the agent's own account, and that what serves was
// written in the name of the account that the Model names.
func (m *model) wantRights() {
	m.t.Helper()
	requests, err := m.node.Cluster.Requests(m.t.Context())
	m.must(err)
	served := 0
	for _, r := range requests.Since(m.earlier) {
		switch {
		case r.User != account:
		case r.As == "system:serviceaccount:"+m.namespace+":model-server":
			served++
		case r.As == "" && r.Code == http.StatusForbidden:
			m.t.Errorf("the agent's own account may not do what the agent needs: %v", r)
		}
	}
	if served == 0 {
		m.t.Error("nothing was done in the name of model-server")
	}
}
