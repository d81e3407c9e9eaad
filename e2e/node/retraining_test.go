package node_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/forge"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/node"
	"github.com/sluice-dev/sluice/e2e/trainer/logistic"
)

// modelThatLearns goes around the whole loop twice, with nothing simulated: rows arrive in a bucket, a
// Job trains with them, what it has made is proposed on a forge, somebody merges that, and containers
// serve it. With more rows it happens again, and the model is better.
func modelThatLearns(t *testing.T, s *story) {
	image(t, s.node, "-package", "./e2e/modelserver", "-name", "example.com/modelserver", "-version", "v1")
	s.install()
	l := newLoop(s)

	s.step("v0, which knows nothing, serves; there are no rows")
	l.furnish()
	l.serves("v0")
	l.wantProbabilities("v0", logistic.Model{Weights: make([]float64, len(columns))})
	l.eventually("the Retraining has looked for rows", func() (bool, string) {
		var r v1alpha1.Retraining
		s.must(l.api.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "fraud"}, &r))
		return r.Status.Data != nil, fmt.Sprintf("%+v", r.Status)
	})

	few, many := business.Example(columns, 1, 60), business.Example(columns, 2, 4000)
	s.step("some rows arrive; a Job trains, and v1 is proposed")
	first := l.learn("1.csv", few)
	run := l.run("v1")
	model, before := l.wantTrained(run, "v1", few)
	l.wantProposed(first, "v1", "v0", before)

	s.step("somebody merges; v1 serves what was learned")
	s.must(first.Merge(t.Context(), l.ann, forge.Squash))
	l.serves("v1")
	l.wantProbabilities("v1", model)

	s.step("many rows arrive; v2 is proposed, and it is better")
	second := l.learn("2.csv", many)
	run = l.run("v2")
	model, after := l.wantTrained(run, "v2", few, many)
	if after["accuracy"] <= before["accuracy"] {
		t.Errorf("with more rows it has %v, with few %v", after, before)
	}
	l.wantProposed(second, "v2", "v1", after, before)

	s.step("somebody merges; v2 serves")
	s.must(second.Merge(t.Context(), l.ann, forge.Squash))
	l.serves("v2")
	l.wantProbabilities("v2", model)
	l.wantTrainer()
	l.wantRights()
}

// loop is a workshop, with a forge where people meet what it makes.
type loop struct {
	*workshop
	repo *forge.Repo
	ann  *forge.User
}

// newLoop starts a forge. It serves loopback only: what Pods reach leads there.
func newLoop(s *story) *loop {
	s.t.Helper()
	gitea, err := forge.Start(s.t.Context(), forge.Options{})
	s.must(err)
	s.t.Cleanup(func() {
		if err := gitea.Stop(); err != nil {
			s.t.Error(err)
		}
	})
	inner, err := url.Parse(gitea.URL)
	s.must(err)
	s.git, err = gitserver.Start(gitserver.Options{
		Address: node.Address, TLS: &gitserver.TLS{},
		Wrap: func(http.Handler) http.Handler { return httputil.NewSingleHostReverseProxy(inner) },
	})
	s.must(err)
	s.t.Cleanup(func() { _ = s.git.Close() })

	l := &loop{workshop: newWorkshop(s)}
	l.ann, err = gitea.CreateUser(s.t.Context(), "ann")
	s.must(err)
	bot, err := gitea.CreateUser(s.t.Context(), "bot")
	s.must(err)
	l.repo, err = gitea.CreateRepo(s.t.Context(), l.ann, forge.RepoSpec{Name: "platform", Private: true, Files: l.content()})
	s.must(err)
	s.must(l.repo.AddCollaborator(s.t.Context(), bot, "write"))
	token, err := bot.Token(s.t.Context(), "read:user", "write:repository", "write:issue")
	s.must(err)
	s.accounts()
	s.kubectl("create", "secret", "generic", "forge", "-n", s.namespace, "--from-literal=token="+token, "--from-literal=ca.crt="+string(s.git.CA))
	s.apply(fmt.Sprintf(repository, s.namespace, s.git.URL+"/"+l.repo.FullName()+".git", bot.Name, token, indent(string(s.git.CA))) + pullRequests)
	return l
}

const pullRequests = `  pullRequests: {provider: gitea, secretRef: {name: forge}, interval: 5s}
`

// untrained says of everything that it may be or not.
const untrained = `{"version": "v0", "link": "logistic", "weights": [0, 0, 0, 0, 0, 0]}`

// content is what the repository begins with.
func (l *loop) content() map[string]string {
	l.register("v0", untrained)
	l.files["models/versions/v0.yaml"] += "  metrics: {accuracy: \"0.5\", logloss: \"0.6931\"}\n"
	l.files["models/kustomization.yaml"] = "resources: [model.yaml, versions, retraining.yaml]\n"
	l.files["models/model.yaml"] = fmt.Sprintf(manifest, l.store.Endpoint, "v0") + "    rollout: {drain: 1s}\n"
	l.files["models/retraining.yaml"] = fmt.Sprintf(retraining,
		indent(indent(l.jobSpec("s3://"+bucketOfRows+"/fraud/", runs+"{{ .Run }}/", "v{{ .Data.Count }}"))), runs)
	return l.files
}

// runs is where each run leaves what it makes.
const runs = "s3://" + bucketOfModels + "/runs/"

// retraining calls versions by how many files of rows there were.
const retraining = `apiVersion: sluice.dev/v1alpha1
kind: Retraining
metadata:
  name: fraud
spec:
  model: fraud
  serviceAccountName: retrainer
  triggers:
    data: {uri: "s3://data/fraud/", secretRef: {name: store}, interval: 1s, settle: 2s}
    minimumInterval: 1s
  run:
    job:
      spec:
%s
  result:
    artifact: {uri: "%s{{ .Run }}/result.json", secretRef: {name: store}}
    version: "v{{ .Data.Count }}"
    onlyIfBetter: "candidate.metrics.accuracy > current.metrics.accuracy"
    propose: {path: models/versions, stage: production}
`

// furnish makes what the platform team makes: as for a model, and an account in whose name it is
// trained.
func (l *loop) furnish() {
	l.t.Helper()
	l.apply(fmt.Sprintf(`
apiVersion: v1
kind: ServiceAccount
metadata: {name: retrainer, namespace: %[1]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: retrainer, namespace: %[1]s}
rules:
- {apiGroups: [batch], resources: [jobs], verbs: [get, list, watch, create, delete]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: retrainer, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: retrainer}
subjects: [{kind: ServiceAccount, name: retrainer, namespace: %[1]s}]
`, l.namespace))
	l.workshop.furnish()
}

// learn delivers rows, and waits for the pull request that comes of it.
func (l *loop) learn(file, rows string) *forge.Pull {
	l.t.Helper()
	l.deliver("fraud/"+file, rows)
	var open []*forge.Pull
	l.eventually("what was learned from "+file+" is proposed", func() (bool, string) {
		var err error
		open, err = l.repo.Pulls(l.t.Context(), "open")
		l.must(err)
		return len(open) > 0, l.kubectl("get", "retrainings,retrainingruns,jobs", "-n", l.namespace)
	})
	if len(open) != 1 {
		l.t.Fatalf("%d pull requests are open", len(open))
	}
	return open[0]
}

// run waits until the run that made a version has ended, and returns where it left what it has made.
func (l *loop) run(version string) string {
	l.t.Helper()
	var found v1alpha1.RetrainingRun
	l.eventually("the run of "+version+" has succeeded", func() (bool, string) {
		var list v1alpha1.RetrainingRunList
		l.must(l.api.List(l.t.Context(), &list, client.InNamespace(l.namespace)))
		for _, r := range list.Items {
			if r.Status.Result != nil && r.Status.Result.Version == version {
				found = r
			}
		}
		return found.Status.Phase == v1alpha1.RunSucceeded, fmt.Sprintf("%d runs, %+v", len(list.Items), found.Status)
	})
	if found.Spec.Trigger.Kind != v1alpha1.TriggerData {
		l.t.Errorf("%s was started by %+v", found.Name, found.Spec.Trigger)
	}
	return "runs/" + found.Name + "/"
}

// wantProposed wants a pull request to add a version, to have it serve, and to show what was measured
// of it and of the version before.
func (l *loop) wantProposed(p *forge.Pull, version, before string, measured ...map[string]string) {
	l.t.Helper()
	change, err := l.repo.Git(l.ann, "show", "--unified=0", p.Head.SHA)
	l.must(err)
	for _, want := range []string{"\n+    version: " + version + "\n", "\n-    version: " + before + "\n", "+  version: " + version, measured[0]["accuracy"]} {
		if !strings.Contains(change, want) {
			l.t.Errorf("want %q in the commit:\n%s", want, change)
		}
	}
	var told string
	l.eventually("pull request "+p.Title+" shows what was measured", func() (bool, string) {
		l.must(p.Refresh(l.t.Context()))
		comments, err := p.Comments(l.t.Context())
		l.must(err)
		told = p.Body
		for _, c := range comments {
			told += "\n" + c.Body
		}
		for _, metrics := range measured {
			if !strings.Contains(told, metrics["accuracy"]) {
				return false, told
			}
		}
		return true, ""
	})
	l.t.Logf("         %s\n%s", p.Title, told)
}

// wantProbabilities asks the Service for predictions, and wants those of a model.
func (l *loop) wantProbabilities(version string, model logistic.Model) {
	l.t.Helper()
	instances := [][]float64{{0, 0, 0, 0, 0, 0}, {1, -1, 1, 0, 0, 0}, {-2, 1, 0, 0.5, -0.5, 3}}
	body, err := json.Marshal(map[string]any{"instances": instances})
	l.must(err)
	address := "http://" + l.kubectl("get", "service", "fraud", "-n", l.namespace, "-o", "jsonpath={.spec.clusterIP}")
	var got struct {
		Version     string
		Predictions []float64
	}
	l.eventually("the Service leads to "+version, func() (bool, string) { // once kube-proxy knows of it
		answer, err := http.Post(address+"/v1/models/fraud:predict", "application/json", strings.NewReader(string(body)))
		if err != nil {
			return false, err.Error()
		}
		defer answer.Body.Close()
		content, err := io.ReadAll(answer.Body)
		l.must(err)
		return json.Unmarshal(content, &got) == nil && got.Version == version, string(content)
	})
	if len(got.Predictions) != len(instances) {
		l.t.Fatalf("%+v", got)
	}
	for n, instance := range instances {
		if want := model.Probability(instance); math.Abs(got.Predictions[n]-want) > 1e-12 {
			l.t.Errorf("%s says %g of %v, and the model that was trained %g", version, got.Predictions[n], instance, want)
		}
	}
}

// wantTrainer wants the Jobs to have been made in the name of the account that the Retraining names.
func (l *loop) wantTrainer() {
	l.t.Helper()
	requests, err := l.node.Cluster.Requests(l.t.Context())
	l.must(err)
	made := 0
	for _, r := range requests.Since(l.earlier) {
		if r.User != account || r.Verb != "create" || !strings.HasPrefix(r.Resource, "jobs") {
			continue
		}
		made++
		if r.As != "system:serviceaccount:"+l.namespace+":retrainer" {
			l.t.Errorf("a Job was made in the name of %q: %v", r.As, r)
		}
	}
	if made != 2 {
		l.t.Errorf("%d Jobs were made, want 2", made)
	}
}
