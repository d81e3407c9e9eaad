package sync_test

import (
	"context"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Two replicas: one works, and the other goes on when the first dies.
func TestFailover(t *testing.T) {
	r := rig.New(t, cluster.Options{})
	repo := r.Repository("platform", files{"app/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: platform}\ndata: {color: red}\n"})
	r.Overlay("app", "app")
	first, second := r, r.Replica()
	flags := []string{"--leader-election=true", "--namespace=" + r.Namespace}
	first.StartAgent(flags...)
	r.WaitReady("app")
	holder := leader(r)
	second.StartAgent(flags...)
	r.Eventually("the second replica runs", func() (bool, string) {
		return strings.Contains(second.Log(), "agent starts"), second.Log()
	})

	first.KillAgent()
	revision := r.Push(repo, gitserver.Change{Message: "another color", Files: files{
		"app/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: platform}\ndata: {color: green}\n"}})
	r.WaitSynced("platform", revision)
	if now := leader(r); now == holder || now == "" {
		t.Errorf("the leader is %q, and was %q", now, holder)
	}
	if is := r.Get("v1", "ConfigMap", r.Namespace, "settings"); field(is, "data", "color") != "green" {
		t.Errorf("the object is %v", is.Object["data"])
	}
}

// leader names the replica that works.
func leader(r *rig.Rig) string {
	r.T.Helper()
	var lease coordinationv1.Lease
	if err := r.Client.Get(context.Background(), client.ObjectKey{Namespace: r.Namespace, Name: "sluice-agent"}, &lease); err != nil {
		r.T.Fatal(err)
	}
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// The namespace of an Overlay is deleted while no agent runs. What the Overlay has elsewhere is
// on record all the same, and goes when the agent is back.
func TestNamespaceOfAnOverlayGoes(t *testing.T) {
	r := rig.New(t, cluster.Options{})
	r.Create(namespace("elsewhere"))
	r.Repository("platform", files{
		"app/here.yaml":  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: here, namespace: platform}\n",
		"app/there.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: there, namespace: elsewhere}\n",
	})
	r.Overlay("app", "app")
	r.StartAgent()
	r.WaitReady("app")
	r.KillAgent()

	if err := r.Client.Delete(context.Background(), namespace(r.Namespace)); err != nil {
		t.Fatal(err)
	}
	r.Eventually("the Repository is gone, and the Overlay waits for the agent", func() (bool, string) {
		repository, overlay := r.Get("sluice.dev/v1alpha1", "Repository", r.Namespace, "platform"), r.GetOverlay("app")
		return repository == nil && overlay.DeletionTimestamp != nil, "not yet"
	})
	var records v1alpha1.InventoryList
	if err := r.Client.List(context.Background(), &records, client.InNamespace(r.Namespace)); err != nil || len(records.Items) == 0 {
		t.Fatalf("the record went with the namespace: %v", err)
	}

	r.StartAgent()
	r.Eventually("all is gone", func() (bool, string) {
		there, ns := r.Get("v1", "ConfigMap", "elsewhere", "there"), r.Get("v1", "Namespace", "", r.Namespace)
		return there == nil && ns == nil, "not yet"
	})
}
