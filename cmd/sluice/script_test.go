package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	gosync "sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestMain lets scripts run this program as sluice, and ends what the tests share.
func TestMain(m *testing.M) {
	testscript.Main(sharing{m}, map[string]func(){"sluice": main})
}

type sharing struct{ m *testing.M }

func (s sharing) Run() int {
	code := s.m.Run()
	if err := errors.Join(shared.stop(), alone.stop()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// TestScripts runs what needs no cluster.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script/offline", RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			offline(env)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"repository": makeClone, "commit": commitClone},
	})
}

// TestClusterScripts runs what needs a control plane. Every script has a namespace and a Git
// repository of its own; the control plane and the agent are shared.
func TestClusterScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a control plane")
	}
	if err := shared.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script/cluster", RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			offline(env)
			return shared.setup(env)
		},
		Cmds: shared.commands(),
	})
}

// TestRetrainScripts runs what needs a control plane in which no agent runs: the scripts say what the
// agent and the engines have come to.
func TestRetrainScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a control plane")
	}
	if err := alone.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	commands := alone.commands()
	commands["status"], commands["decide"], commands["watched"], commands["kubelet"] = alone.status, alone.decide, alone.watched, alone.kubelet
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script/retrain", RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			offline(env)
			return alone.setup(env)
		},
		Cmds: commands,
	})
}

// commands are those of scripts that have a cluster.
func (w *world) commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"push": w.push, "apply": w.apply, "delete": w.remove, "agent": w.startAgent, "refused": w.refused, "until": until, "quiet": w.quiet,
		"repository": makeClone, "commit": commitClone, "publish": publish,
	}
}

// offline makes a script independent of the machine it runs on.
func offline(env *testscript.Env) {
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("NO_COLOR", "1")
	env.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	env.Setenv("GIT_AUTHOR_DATE", "2026-01-02T03:04:05Z")
	env.Setenv("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z")
}

// world is what cluster scripts share.
type world struct {
	once   gosync.Once
	failed error

	scripts atomic.Int32 // that were set up
	cluster *cluster.Cluster
	git     *gitserver.Server
	client  client.Client

	agentOnce gosync.Once
	agent     *exec.Cmd
	agentDir  string
}

var shared, alone world

func (w *world) start(ctx context.Context) error {
	w.once.Do(func() {
		if w.cluster, w.failed = cluster.Start(ctx, cluster.Options{Progress: os.Stderr}); w.failed != nil {
			return
		}
		if w.git, w.failed = gitserver.Start(gitserver.Options{}); w.failed != nil {
			return
		}
		if w.client, w.failed = client.New(w.cluster.Config(), client.Options{}); w.failed != nil {
			return
		}
		var crds []string
		if crds, w.failed = filepath.Glob("../../manifests/crds/sluice.dev_*.yaml"); w.failed != nil {
			return
		}
		for _, file := range crds {
			w.failed = errors.Join(w.failed, w.applyFile(ctx, file, ""))
		}
		for _, kind := range []string{"Repository", "Overlay", "Inventory", "Model", "ModelVersion", "Promotion", "PromotionPolicy", "Pipeline", "Retraining", "RetrainingRun"} { // a CRD is served a moment after it is made
			list := &unstructured.UnstructuredList{}
			list.SetAPIVersion("sluice.dev/v1alpha1")
			list.SetKind(kind + "List")
			w.failed = errors.Join(w.failed, retry(ctx, func() error { return w.client.List(ctx, list) }))
		}
	})
	return w.failed
}

func (w *world) stop() error {
	var err error
	if w.agent != nil {
		err = errors.Join(w.agent.Process.Kill(), os.RemoveAll(w.agentDir))
		_ = w.agent.Wait() // it was killed
	}
	if w.git != nil {
		err = errors.Join(err, w.git.Close())
	}
	if w.cluster != nil {
		err = errors.Join(err, w.cluster.Stop())
	}
	return err
}

// setup gives a script its namespace, the kubeconfig that leads there, and a Git repository.
func (w *world) setup(env *testscript.Env) error {
	name := fmt.Sprintf("%s-%d", strings.TrimPrefix(filepath.Base(env.WorkDir), "script-"), w.scripts.Add(1))
	namespace := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}}}
	if err := w.client.Create(context.Background(), namespace); err != nil {
		return err
	}
	kubeconfig, err := clientcmd.LoadFromFile(w.cluster.Kubeconfig)
	if err != nil {
		return err
	}
	kubeconfig.Contexts[kubeconfig.CurrentContext].Namespace = name
	file := filepath.Join(env.WorkDir, ".kubeconfig")
	if err := clientcmd.WriteToFile(*kubeconfig, file); err != nil {
		return err
	}
	repo, err := w.git.Create(name)
	if err != nil {
		return err
	}
	env.Setenv("KUBECONFIG", file)
	env.Setenv("NS", name)
	env.Setenv("URL", repo.URL)
	return nil
}

func (w *world) applyFile(ctx context.Context, file, namespace string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	url := w.git.URL + "/" + namespace + ".git"
	fill := strings.NewReplacer("$NS", namespace, "${NS}", namespace, "$URL", url, "${URL}", url) // what else begins with a dollar is left as it is
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(fill.Replace(string(text))), 1<<16)
	for {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if o.Object == nil {
			continue
		}
		if o.GetNamespace() == "" && o.GetKind() != "CustomResourceDefinition" {
			o.SetNamespace(namespace)
		}
		err := retry(ctx, func() error {
			return w.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner("test"), client.ForceOwnership)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
}

// retry tries again while a CRD that was just made is not served yet.
func retry(ctx context.Context, do func() error) error {
	for {
		err := do()
		if err == nil || !apierrors.IsNotFound(err) && !apimeta.IsNoMatchError(err) || ctx.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// apply FILE... applies manifests in the script's namespace; $NS and $URL in them are replaced.
func (w *world) apply(ts *testscript.TestScript, neg bool, files []string) {
	for _, file := range files {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		err := w.applyFile(ctx, ts.MkAbs(file), ts.Getenv("NS"))
		if neg != (err != nil) {
			ts.Fatalf("apply %s: %v", file, err)
		}
	}
}

// refused FILE TEXT checks that the API server takes no object of a file, and says the text of each.
func (w *world) refused(ts *testscript.TestScript, _ bool, args []string) {
	for n, object := range strings.Split(ts.ReadFile(args[0]), "---\n") {
		file := ts.MkAbs(fmt.Sprintf("%s.%d", args[0], n))
		ts.Check(os.WriteFile(file, []byte(object), 0o600))
		err := w.applyFile(context.Background(), file, ts.Getenv("NS"))
		if err == nil || !strings.Contains(err.Error(), args[1]) {
			ts.Fatalf("want %q for %s, got %v", args[1], object, err)
		}
	}
}

// delete APIVERSION KIND NAME deletes an object of the script's namespace.
func (w *world) remove(ts *testscript.TestScript, _ bool, args []string) {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(args[0])
	o.SetKind(args[1])
	o.SetNamespace(ts.Getenv("NS"))
	o.SetName(args[2])
	ts.Check(w.client.Delete(context.Background(), o, client.PropagationPolicy(metav1.DeletePropagationBackground)))
}

// push DIR MESSAGE makes the repository of the script hold exactly the files of a directory.
func (w *world) push(ts *testscript.TestScript, _ bool, args []string) {
	repo, err := w.git.Open(ts.Getenv("NS"))
	ts.Check(err)
	files, err := filesOf(ts.MkAbs(args[0]))
	ts.Check(err)
	change := gitserver.Change{Message: args[1], Files: files}
	if _, err := repo.Hash("main"); err == nil {
		before, err := repo.Git("ls-tree", "-r", "--name-only", "main")
		ts.Check(err)
		for _, name := range strings.Fields(before) {
			if _, stays := files[name]; !stays {
				change.Delete = append(change.Delete, name)
			}
		}
	}
	hash, err := repo.Commit(change)
	ts.Check(err)
	ts.Setenv("COMMIT", hash)
	ts.Setenv("SHORT", hash[:7])
}

func filesOf(dir string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(name)
		files[filepath.ToSlash(relative)] = string(text)
		return err
	})
	return files, err
}

// agent starts the agent that all scripts share, as a process of its own.
func (w *world) startAgent(ts *testscript.TestScript, _ bool, _ []string) {
	w.agentOnce.Do(func() {
		program, err := exec.LookPath("sluice")
		ts.Check(err)
		w.agentDir, err = os.MkdirTemp("", "sluice-agent-")
		ts.Check(err)
		log, err := os.Create(filepath.Join(w.cluster.Dir, "logs", "sluice.log"))
		ts.Check(err)
		defer log.Close()
		cmd := exec.Command(program, "agent", "--kubeconfig="+w.cluster.Kubeconfig, "--allow-insecure-git",
			"--share=false", "--metrics-address=0", "--probe-address=0", "--dir="+w.agentDir)
		cmd.Stdout, cmd.Stderr = log, log
		ts.Check(cmd.Start())
		w.agent = cmd
	})
}

// until PATTERN COMMAND... runs sluice until its output has the text, for at most a minute.
func until(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(time.Minute)
	for {
		err := ts.Exec("sluice", args[1:]...)
		output := ts.ReadFile("stdout")
		if err == nil && strings.Contains(output, args[0]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("sluice %s never said %q: %v", strings.Join(args[1:], " "), args[0], err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// quiet COMMAND... runs sluice, with any exit code, and checks that it wrote nothing to the
// cluster.
func (w *world) quiet(ts *testscript.TestScript, _ bool, args []string) {
	before, err := w.cluster.Requests(context.Background())
	ts.Check(err)
	_ = ts.Exec("sluice", args...) // the script looks at what it says
	after, err := w.cluster.Requests(context.Background())
	ts.Check(err)
	for _, wrote := range after.Since(before).By("sluice-cli/").Writes() {
		if wrote.Namespace == ts.Getenv("NS") || wrote.Namespace == "" { // others are of other scripts
			ts.Fatalf("sluice %s wrote to the cluster: %s", strings.Join(args, " "), wrote)
		}
	}
}

// repository DIR makes a directory a Git repository with one commit of all that is in it.
func makeClone(ts *testscript.TestScript, _ bool, args []string) {
	runGit(ts, args[0], "init", "--quiet", "--initial-branch=main")
	runGit(ts, args[0], "config", "user.name", "Ada")
	runGit(ts, args[0], "config", "user.email", "ada@example.com")
	commitClone(ts, false, []string{args[0], "First"})
}

// commit DIR MESSAGE commits all that is in a directory, and sets $COMMIT and $SHORT.
func commitClone(ts *testscript.TestScript, _ bool, args []string) {
	runGit(ts, args[0], "add", "--all")
	runGit(ts, args[0], "commit", "--quiet", "--message", args[1])
	hash := strings.TrimSpace(runGit(ts, args[0], "rev-parse", "HEAD"))
	ts.Setenv("COMMIT", hash)
	ts.Setenv("SHORT", hash[:7])
}

// publish DIR pushes the main branch of a clone to the repository of the script.
func publish(ts *testscript.TestScript, _ bool, args []string) {
	runGit(ts, args[0], "remote", "add", "origin", ts.Getenv("URL"))
	runGit(ts, args[0], "push", "--quiet", "origin", "main")
}

func runGit(ts *testscript.TestScript, dir string, args ...string) string {
	cmd := exec.Command("git", args...)
	cmd.Dir = ts.MkAbs(dir)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_DATE=2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
	output, err := cmd.CombinedOutput()
	if err != nil {
		ts.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, output)
	}
	return string(output)
}
