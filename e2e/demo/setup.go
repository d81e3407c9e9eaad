package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// setUp does what has to be there before the story begins, and says so in a line each.
func (d *demo) setUp(ctx context.Context) error {
	fmt.Println("Sluice: what Git says, the cluster does.")
	fmt.Println()
	for _, task := range []struct {
		name string
		do   func(context.Context) (note string, err error)
	}{
		{"control plane", d.startCluster},
		{"object store", d.startStore},
		{"sluice", d.buildSluice},
		{"trainer", d.startTrainer},
		{"install", d.install},
		{"answers", d.startAnswers},
		{"git", d.serveGit},
		{"agent", d.startAgent},
	} {
		began := time.Now()
		note, err := task.do(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", task.name, err)
		}
		row(task.name, note, time.Since(began))
	}
	return nil
}

// startCluster starts a control plane, which the first time means to build it.
func (d *demo) startCluster(ctx context.Context) (string, error) {
	var err error
	if d.binary, err = cluster.Build(ctx, progress{"control plane"}); err != nil {
		return "", err
	}
	if err := os.Symlink(d.binary, filepath.Join(d.bin, "kubectl")); err != nil {
		return "", err
	}
	d.cluster, err = cluster.Start(ctx, cluster.Options{Dir: filepath.Join(d.dir, "cluster")})
	if err != nil {
		return "", err
	}
	go func() {
		<-d.cluster.Done()
		d.fail(fmt.Errorf("the control plane ended by itself; see %s", d.cluster.Log("controlplane")))
	}()
	d.client, err = newClient(d.cluster.Config())
	return "Kubernetes " + cluster.KubernetesVersion + ", real but for its one node", err
}

func newClient(config *rest.Config) (client.WithWatch, error) {
	log.SetLogger(logr.Discard()) // the screen is the story's
	config.WarningHandler = rest.NoWarnings{}
	if err := v1alpha1.AddToScheme(scheme.Scheme); err != nil {
		return nil, err
	}
	return client.NewWithWatch(config, client.Options{Scheme: scheme.Scheme})
}

// buildSluice builds the program that is the agent and the command line.
func (d *demo) buildSluice(ctx context.Context) (string, error) {
	stop := patient("sluice", "building it, which takes minutes when the Go cache is empty")
	defer stop()
	build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(d.bin, "sluice"), "./cmd/sluice")
	build.Dir = d.root
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/sluice: %w\n%s", err, output)
	}
	return "built from this checkout", nil
}

// install does what a user does to install Sluice. See install/kustomization.yaml for what
// is different.
func (d *demo) install(ctx context.Context) (string, error) {
	for _, command := range []string{
		"kubectl apply -k e2e/demo/install",
		"kubectl wait crd --for=condition=Established --timeout=60s -l app.kubernetes.io/part-of=sluice",
	} {
		if _, err := d.command(ctx, d.root, command); err != nil {
			return "", err
		}
	}
	return "manifests/install, as kubectl apply -k does it, but for the agent's Pod", nil
}
