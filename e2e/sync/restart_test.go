package sync_test

import (
	"context"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/rig"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

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
