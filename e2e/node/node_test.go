package node_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/e2e/forge"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/node"
	"github.com/sluice-dev/sluice/e2e/objectstore"
)

func TestMain(m *testing.M) {
	os.Exit(node.Main(m.Run, node.Needs{Programs: []string{"./cmd/sluice", "./e2e/modelserver", "./e2e/trainer"}, Build: build}))
}

// build builds the servers that the stories start.
func build(ctx context.Context, progress io.Writer) (string, error) {
	if binary, err := objectstore.Build(ctx, progress); err != nil {
		return binary, err
	}
	return forge.Build(ctx, progress)
}

// TestNode tells its stories one after the other on one node, with the image of `make image`.
// Each has a namespace of its own.
func TestNode(t *testing.T) {
	if err := node.Unavailable(); err != nil {
		t.Skip(err)
	}
	n, err := node.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	})
	image(t, n)
	t.Run("Agent", func(t *testing.T) { agentInACluster(t, begin(t, n, team)) })
	t.Run("Model", func(t *testing.T) { modelUnderLoad(t, begin(t, n, "fraud")) })
	t.Run("Trainer", func(t *testing.T) { trainerJob(t, begin(t, n, "trainer")) })
	t.Run("Retraining", func(t *testing.T) { modelThatLearns(t, begin(t, n, "learning")) })
}

// image makes the image of a program, as the command e2e/image is told to, and imports it.
func image(t *testing.T, n *node.Node, flags ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := node.BuildImage(t.Context(), file, flags...); err != nil {
		t.Fatal(err)
	}
	if err := n.Import(t.Context(), file); err != nil {
		t.Fatal(err)
	}
}

// system is the namespace of the agent, and account what its Pod runs under.
const (
	system  = "sluice-system"
	account = "system:serviceaccount:sluice-system:sluice-agent"
)

// story is one test as it is told.
type story struct {
	t          *testing.T
	node       *node.Node
	namespace  string
	git        *gitserver.Server
	repository *gitserver.Repo
	began      time.Time
}

func begin(t *testing.T, n *node.Node, namespace string) *story {
	s := &story{t: t, node: n, namespace: namespace, began: time.Now()}
	t.Cleanup(func() {
		if t.Failed() {
			s.explain()
		}
	})
	return s
}

// serveGit starts a Git server that Pods reach.
func (s *story) serveGit() {
	s.t.Helper()
	var err error
	s.git, err = gitserver.Start(gitserver.Options{
		Address: node.Address,
		Access:  gitserver.Access{Username: "agent", Password: "correct horse"},
		TLS:     &gitserver.TLS{},
	})
	s.must(err)
	s.t.Cleanup(func() { _ = s.git.Close() })
	s.repository, err = s.git.Create("ml/platform")
	s.must(err)
}

// install installs the agent as it comes, without what an earlier story may have added.
func (s *story) install() {
	s.t.Helper()
	s.step("kubectl apply -k manifests/install; the Pod gets Ready")
	s.kubectl("delete", "clusterrolebinding", "sluice-agent-cluster-admin", "--ignore-not-found")
	s.kubectl("apply", "-k", "../../manifests/install")
	s.rolledOut()
}

// tenant makes a namespace with an account for its overlays, and the repository in it.
func (s *story) tenant() {
	s.t.Helper()
	s.accounts()
	s.apply(fmt.Sprintf(repository, s.namespace, s.repository.URL, "agent", "correct horse", indent(string(s.git.CA))))
}

// accounts makes a namespace with an account for its overlays.
func (s *story) accounts() {
	s.t.Helper()
	s.apply(fmt.Sprintf(accounts, s.namespace))
}

const accounts = `
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: deployer, namespace: %[1]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
subjects: [{kind: ServiceAccount, name: deployer, namespace: %[1]s}]
`

const repository = `
apiVersion: v1
kind: Secret
metadata: {name: git, namespace: %[1]s}
stringData:
  username: %[3]s
  password: %[4]s
  ca.crt: |
%[5]s
---
apiVersion: sluice.dev/v1alpha1
kind: Repository
metadata: {name: platform, namespace: %[1]s}
spec:
  url: %[2]s
  ref: {branch: main}
  interval: 1s
  secretRef: {name: git}
`

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}

func (s *story) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) step(what string) {
	s.t.Helper()
	s.t.Logf("%5.1f s  %s", time.Since(s.began).Seconds(), what)
}

func (s *story) kubectl(arguments ...string) string {
	s.t.Helper()
	output, err := s.node.Kubectl(s.t.Context(), arguments...)
	s.must(err)
	return strings.TrimSpace(output)
}

func (s *story) apply(manifests string) {
	s.t.Helper()
	_, err := s.node.KubectlStdin(s.t.Context(), strings.NewReader(manifests), "apply", "-f", "-")
	s.must(err)
}

func (s *story) wait(object, condition string) {
	s.t.Helper()
	s.kubectl("wait", "--for=create", object, "-n", s.namespace, "--timeout=2m")
	s.kubectl("wait", "--for="+condition, object, "-n", s.namespace, "--timeout=2m")
}

func (s *story) rolledOut() {
	s.t.Helper()
	s.kubectl("rollout", "status", "deployment/sluice-agent", "-n", system, "--timeout=2m")
}

// wantAnswer asks until the answer is 200 and has a part, for a minute.
func (s *story) wantAnswer(url, part string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	for {
		err := ask(ctx, url, part)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("%s: %v", url, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func ask(ctx context.Context, url, part string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK || !strings.Contains(string(body), part) {
		return fmt.Errorf("%s\n%.500s", answer.Status, body)
	}
	return nil
}

// explain shows what a person would look at.
func (s *story) explain() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, command := range []string{
		"get pods,deployments,jobs,services,endpointslices,repositories,overlays,models,modelversions,promotions,retrainings,retrainingruns,configmaps -A -o wide",
		"get events -A",
		"logs -n " + system + " -l app.kubernetes.io/component=agent --tail=100",
	} {
		output, err := s.node.Kubectl(ctx, strings.Fields(command)...)
		s.t.Logf("kubectl %s: %v\n%s", command, err, output)
	}
	s.t.Log(s.node.Logs())
}
