package node_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/e2e/gitserver"
)

// The namespace of the story, and its accounts.
const (
	team     = "team"
	deployer = "system:serviceaccount:team:deployer"
	nobody   = "system:serviceaccount:team:default" // as far as rights go
)

// agentInACluster is the way of someone who tries Sluice in a cluster of theirs: image,
// install, a repository, an overlay, and a Pod that goes away.
func agentInACluster(t *testing.T, s *story) {
	s.serveGit()
	s.install()
	s.wantUnprivileged()

	s.step("its probes and metrics answer, metrics by the Service too")
	pod := s.kubectl("get", "pods", "-n", system, "-l", "app.kubernetes.io/component=agent", "-o", "jsonpath={.items[0].status.podIP}")
	service := s.kubectl("get", "service", "sluice-agent", "-n", system, "-o", "jsonpath={.spec.clusterIP}")
	s.wantAnswer("http://"+pod+":8081/healthz", "")
	s.wantAnswer("http://"+pod+":8081/readyz", "")
	s.wantAnswer("http://"+pod+":8080/metrics", "process_start_time_seconds")
	s.wantAnswer("http://"+service+":8080/metrics", "process_start_time_seconds") // once kube-proxy knows of it

	s.step("a Repository over HTTPS, with a password and an authority of its own")
	s.commit("one", "hello")
	s.tenant()
	s.apply(overlays)
	s.wait("repository/platform", "condition=Ready")

	s.step("an Overlay is applied in the name of its account, and its Pod runs")
	s.wait("overlay/web", "condition=Ready")
	s.wait("configmap/greeting", "jsonpath={.data.text}=hello")
	s.wait("deployment/web", "condition=Available")

	s.step("an Overlay without an account works as the namespace's default, which may deploy nothing")
	s.wait("overlay/bare", "condition=Ready=False")
	if message := s.message("overlay/bare"); !strings.Contains(message, "ConfigMap/team/bare") || !strings.Contains(message, "ServiceAccount team/default may not") {
		t.Errorf("the message says: %s", message)
	}
	s.wantNoSurprises()

	s.step("kubectl apply -k manifests/cluster-admin; now it may")
	refused := s.pod()
	s.kubectl("apply", "-k", "../../manifests/cluster-admin")
	s.rolledOut() // its arguments change
	s.kubectl("wait", "--for=delete", "pod/"+refused, "-n", system, "--timeout=2m")
	s.kubectl("annotate", "overlay", "bare", "-n", team, "--overwrite", "reconcile.fluxcd.io/requestedAt="+time.Now().String())
	s.wait("overlay/bare", "condition=Ready")
	s.wait("configmap/bare", "jsonpath={.data.text}=bare")

	s.step("the Pod is deleted, a commit comes; another Pod brings it in")
	before := s.pod()
	s.kubectl("delete", "pod", before, "-n", system)
	s.commit("two", "still here")
	s.wait("configmap/greeting", "jsonpath={.data.text}=still here")
	s.rolledOut()
	if after := s.pod(); after == before {
		t.Errorf("the Pod is still %s", after)
	}

	s.step("an Overlay is deleted, and its objects go with it")
	s.kubectl("delete", "overlay", "web", "-n", team, "--timeout=2m")
	if left := s.kubectl("get", "deployment,configmap", "-n", team, "-l", "sluice.dev/overlay=web", "-o", "name"); left != "" {
		t.Errorf("these are left: %s", left)
	}
}

// overlays are what a user applies besides the tenant.
const overlays = `
apiVersion: sluice.dev/v1alpha1
kind: Overlay
metadata: {name: web, namespace: team}
spec:
  repositoryRef: {name: platform}
  path: web
  targetNamespace: team
  serviceAccountName: deployer
---
apiVersion: sluice.dev/v1alpha1
kind: Overlay
metadata: {name: bare, namespace: team}
spec:
  repositoryRef: {name: platform}
  path: bare
  targetNamespace: team
`

// files are what the repository holds. The Deployment runs an image that the node has.
func files(greeting string) map[string]string {
	return map[string]string{
		"web/kustomization.yaml": "resources: [greeting.yaml, deployment.yaml]\n",
		"web/greeting.yaml":      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: greeting}\ndata: {text: " + greeting + "}\n",
		"web/deployment.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: "registry.k8s.io/pause:3.10"}]
`,
		"bare/configmap.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bare}\ndata: {text: bare}\n",
	}
}

func (s *story) message(object string) string {
	s.t.Helper()
	return s.kubectl("get", object, "-n", team, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].message}`)
}

// pod is the name of the agent's Pod, of which there is one.
func (s *story) pod() string {
	s.t.Helper()
	return s.kubectl("get", "pods", "-n", system, "-l", "app.kubernetes.io/component=agent", "-o", "jsonpath={.items[*].metadata.name}")
}

func (s *story) commit(message, greeting string) {
	s.t.Helper()
	_, err := s.repository.Commit(gitserver.Change{Message: message, Files: files(greeting)})
	s.must(err)
}

// wantUnprivileged looks at the agent from outside its container: the kernel's own account of
// the process.
func (s *story) wantUnprivileged() {
	s.t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	s.must(err)
	found := 0
	for _, line := range lines {
		content, err := os.ReadFile(line)
		if err != nil || !strings.HasPrefix(string(content), "/sluice\x00agent\x00") {
			continue
		}
		found++
		status, err := os.ReadFile(filepath.Join(filepath.Dir(line), "status"))
		s.must(err)
		for _, want := range []string{"Uid:\t65532\t65532\t65532\t65532\n", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
			if !strings.Contains(string(status), want) {
				s.t.Errorf("the agent's process is not %q:\n%s", want, status)
			}
		}
	}
	if found != 1 {
		s.t.Errorf("want one process of the agent, have %d", found)
	}
}

// wantNoSurprises looks at whose rights the agent used. Under its own account nothing may be
// refused, and what the Overlays wanted must have been done in the name of their accounts.
func (s *story) wantNoSurprises() {
	s.t.Helper()
	requests, err := s.node.Cluster.Requests(s.t.Context())
	s.must(err)
	var own, impersonated int
	for _, r := range requests {
		switch {
		case r.User != account, r.Code == 0: // a request that is still under way does not say in whose name
		case r.As == deployer:
			impersonated++
		case r.As == nobody: // the Overlay without an account
		case r.As != "":
			s.t.Errorf("the agent worked in the name of %s: %v", r.As, r)
		default:
			own++
			if r.Code == http.StatusForbidden {
				s.t.Errorf("the agent's own account may not do what the agent needs: %v", r)
			}
			if strings.HasPrefix(r.Resource, "deployments") {
				s.t.Errorf("not in the name of the Overlay's account: %v", r)
			}
		}
	}
	s.t.Logf("         %d requests of the agent under its own account, %d in the name of %s", own, impersonated, deployer)
	if own == 0 || impersonated == 0 {
		s.t.Error("want both")
	}
}
