package retraining_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	kfpengine "github.com/sluice-dev/sluice/agent/engine/kfp"
	"github.com/sluice-dev/sluice/agent/engine/pipelines"
	controlplane "github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/kfp"
	"github.com/sluice-dev/sluice/e2e/rig"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// compiledPipeline is what kfp compiles a pipeline of one step to.
func compiledPipeline(image string) string {
	return fmt.Sprintf(`# PIPELINE DEFINITION
components:
  comp-train:
    executorLabel: exec-train
    inputDefinitions:
      parameters:
        data:
          parameterType: STRING
deploymentSpec:
  executors:
    exec-train:
      container:
        image: %s
pipelineInfo:
  name: fraud-train
root:
  dag:
    tasks:
      train:
        componentRef:
          name: comp-train
        inputs:
          parameters:
            data:
              componentInputParameter: data
        taskInfo:
          name: train
  inputDefinitions:
    parameters:
      data:
        parameterType: STRING
schemaVersion: 2.1.0
sdkVersion: kfp-2.14.3
`, image)
}

const (
	// hashed has the name of the ConfigMap change with what is in it, and unhashed has it stay.
	hashed = `namespace: fraud
resources: [pipeline.yaml]
configMapGenerator:
- name: fraud-train
  files: [pipeline.yaml=train.yaml]
configurations: [names.yaml]
`
	unhashed = `namespace: fraud
resources: [pipeline.yaml]
configMapGenerator:
- name: fraud-train
  files: [pipeline.yaml=train.yaml]
generatorOptions: {disableNameSuffixHash: true}
`
	names = `nameReference:
- kind: ConfigMap
  fieldSpecs:
  - {group: sluice.dev, kind: Pipeline, path: spec/kfp/package/configMapRef/name}
`
)

// delivery is a repository with a Pipeline, Kubeflow Pipelines for many users, and the Retraining fraud of that Pipeline.
type delivery struct {
	*house
	kfp  *kfp.Server
	repo *gitserver.Repo
}

func newDelivery(t *testing.T, o kfp.Options, kustomization string) *delivery {
	t.Helper()
	d := &delivery{house: &house{Rig: rig.New(t, controlplane.Options{})}}
	d.Namespace = "fraud"
	o.MultiUser, o.May = true, (&rights{client: d.Client}).may
	rules := slices.Concat(runsPipelines, readsPackages)
	if o.Native != nil { // it reads what this cluster has
		o.Native = d.objects
		d.must(d.Cluster.Define(context.Background(), string(kfp.CRDs)))
	} else {
		rules = slices.Concat(rules, deliversPipelines)
	}
	var err error
	d.kfp, err = kfp.Start(o)
	d.must(err)
	t.Cleanup(d.kfp.Stop)
	d.Create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "fraud"}})
	d.grant("trainer", rules...)
	d.repo = d.Repository("platform", map[string]string{
		"pipelines/kustomization.yaml": kustomization, "pipelines/names.yaml": names, "pipelines/train.yaml": compiledPipeline("trainer:1"),
		"pipelines/pipeline.yaml": fmt.Sprintf(`apiVersion: sluice.dev/v1alpha1
kind: Pipeline
metadata: {name: fraud-train}
spec:
  serviceAccountName: trainer
  kfp:
    address: %s
    package: {configMapRef: {name: fraud-train}}
`, d.kfp.URL)})
	d.Overlay("models", "pipelines")
	d.retrains("fraud", "trainer")
	d.StartAgent("--allow-loopback-checks")
	return d
}

// retrains makes a Retraining of the Pipeline in the name of an account.
func (d *delivery) retrains(name, account string, edits ...func(*v1alpha1.Retraining)) {
	d.T.Helper()
	o := &v1alpha1.Retraining{ObjectMeta: metav1.ObjectMeta{Namespace: "fraud", Name: name}, Spec: v1alpha1.RetrainingSpec{
		Model: "fraud", ServiceAccountName: account,
		Run: v1alpha1.RunTemplate{KFP: &v1alpha1.KFPRun{Pipeline: "fraud-train"}, Parameters: map[string]string{"data": "s3://data/"}},
	}}
	for _, edit := range edits {
		edit(o)
	}
	d.Create(o)
}

// commit has the package be another.
func (d *delivery) commit(content string) (revision string) {
	d.T.Helper()
	revision = d.Push(d.repo, gitserver.Change{Message: "train: another", Files: map[string]string{"pipelines/train.yaml": content}})
	d.Ask("platform")
	return revision
}

func (d *delivery) pipeline() *v1alpha1.Pipeline {
	d.T.Helper()
	var p v1alpha1.Pipeline
	d.must(client.IgnoreNotFound(d.Client.Get(context.Background(), client.ObjectKey{Namespace: "fraud", Name: "fraud-train"}, &p)))
	return &p
}

// await waits until the Pipeline is as it should be.
func (d *delivery) await(what string, is func(p *v1alpha1.Pipeline, ready metav1.Condition) bool) *v1alpha1.Pipeline {
	d.T.Helper()
	var p *v1alpha1.Pipeline
	d.Eventually("the Pipeline "+what, func() (bool, string) {
		p = d.pipeline()
		var ready metav1.Condition
		if c := apimeta.FindStatusCondition(p.Status.Conditions, v1alpha1.ReadyCondition); c != nil && p.Status.ObservedGeneration == p.Generation {
			ready = *c
		}
		return is(p, ready), fmt.Sprintf("generation %d: %+v", p.Generation, p.Status)
	})
	return p
}

// delivered waits until a package is.
func (d *delivery) delivered(content string) *v1alpha1.Pipeline {
	d.T.Helper()
	pkg, err := kfpengine.ReadPackage([]byte(content))
	d.must(err)
	return d.await("is delivered as "+pkg.Version, func(p *v1alpha1.Pipeline, ready metav1.Condition) bool {
		version, digest, _ := pipelines.Pinned(*p)
		return ready.Status == metav1.ConditionTrue && version == pkg.Version && digest == pkg.Digest
	})
}

// trained has the agent run what the Pipeline has now, to success.
func (d *delivery) trained() {
	d.T.Helper()
	before, has := len(begun(d.runs("fraud"))), d.pipeline().Status
	d.ask("fraud")
	r := d.started(d.kfp, "fraud")
	if id := d.kfp.Run(r.Status.Attempts[0].ID).Version(); id != has.VersionID || r.Status.Attempts[0].KFP.Version != has.Version {
		d.T.Errorf("the run is of the version %s, and is to be of %+v: %+v", id, has, r.Status.Attempts)
	}
	d.kfp.Run(r.Status.Attempts[0].ID).Succeed()
	if runs := d.ended("fraud", before+1); runs[before].Status.Phase != v1alpha1.RunSucceeded {
		d.T.Errorf("it is %s", d.standing())
	}
}

// objects are the versions that are objects of Kubernetes.
func (d *delivery) objects() []kfp.Object {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kfpengine.NativeVersion)
	if err := d.Client.List(context.Background(), list); err != nil {
		return nil // the kinds are not there yet
	}
	var objects []kfp.Object
	for _, o := range list.Items {
		name, _, _ := unstructured.NestedString(o.Object, "spec", "pipelineName")
		spec, _, _ := unstructured.NestedMap(o.Object, "spec", "pipelineSpec")
		data, err := json.Marshal(spec)
		of := &unstructured.Unstructured{}
		of.SetGroupVersionKind(kfpengine.NativePipeline)
		if err != nil || d.Client.Get(context.Background(), client.ObjectKey{Namespace: o.GetNamespace(), Name: name}, of) != nil {
			continue
		}
		objects = append(objects, kfp.Object{Namespace: o.GetNamespace(), Name: o.GetName(), ID: string(o.GetUID()),
			Pipeline: name, PipelineID: string(of.GetUID()), CreatedAt: o.GetCreationTimestamp().Time, Spec: data})
	}
	return objects
}

// A commit brings its package to Kubeflow Pipelines; what it had before is there still, and comes back with
// its commit. What is broken is said, and what was lost on the way is no second version.
func TestPipelineOverREST(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a control plane")
	}
	d := newDelivery(t, kfp.Options{}, hashed)
	first := d.delivered(compiledPipeline("trainer:1"))
	if first.Status.PipelineID == "" || first.Status.DeliveredAt == nil || first.Status.Revision != first.Annotations[v1alpha1.RevisionAnnotation] || !strings.HasPrefix(first.Status.Revision, "main@sha1:") {
		t.Errorf("%+v", first.Status)
	}
	d.WaitReady("models")
	d.trained()

	// A restart asks nobody, and writes nothing.
	asked := d.kfp.Count("", "")
	d.KillAgent()
	d.StartAgent("--allow-loopback-checks")
	d.AskOverlay("models")
	if p := d.pipeline(); p.ResourceVersion != first.ResourceVersion || d.kfp.Count("", "") != asked {
		t.Errorf("after a restart: %d requests, and %+v", d.kfp.Count("", "")-asked, p.Status)
	}

	// The answer to an upload is lost, and the agent with it.
	d.kfp.Misbehave(kfp.Only("POST", "/upload_version", kfp.First(1, kfp.Lost())))
	d.commit(compiledPipeline("trainer:2"))
	d.Eventually("the upload came", func() (bool, string) { return d.kfp.Count("POST", "/upload_version") == 2, "not yet" })
	d.KillAgent()
	d.StartAgent("--allow-loopback-checks")
	second := d.delivered(compiledPipeline("trainer:2"))
	if second.Status.VersionID == first.Status.VersionID || second.Status.PipelineID != first.Status.PipelineID || second.Status.Revision == first.Status.Revision {
		t.Errorf("the second is %+v", second.Status)
	}
	if n := d.kfp.Count("POST", "/upload_version"); n != 2 {
		t.Errorf("%d versions were uploaded", n)
	}

	// The commit is taken back.
	d.commit(compiledPipeline("trainer:1"))
	if back := d.delivered(compiledPipeline("trainer:1")); back.Status.VersionID != first.Status.VersionID {
		t.Errorf("it is %+v, and was %+v", back.Status, first.Status)
	}

	// What cannot be delivered leaves no version to run.
	d.commit("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n")
	broken := d.await("is broken", func(_ *v1alpha1.Pipeline, ready metav1.Condition) bool { return ready.Reason == "Invalid" })
	if version, _, wait := pipelines.Pinned(*broken); version != "" || !strings.Contains(wait, "is a Workflow of Argo") || !apimeta.IsStatusConditionTrue(broken.Status.Conditions, v1alpha1.StalledCondition) {
		t.Errorf("%q, %q", version, wait)
	}

	// Kubeflow Pipelines is away for a while.
	d.kfp.Misbehave(kfp.Down())
	d.commit(compiledPipeline("trainer:3"))
	d.await("waits", func(_ *v1alpha1.Pipeline, ready metav1.Condition) bool { return ready.Reason == "Unreachable" })
	d.kfp.Misbehave(nil)
	d.delivered(compiledPipeline("trainer:3"))
	d.trained()

	// What is deleted from Git stays in Kubeflow Pipelines: its runs are of it.
	d.Push(d.repo, gitserver.Change{Message: "train: no more", Files: map[string]string{"pipelines/kustomization.yaml": "namespace: fraud\nconfigMapGenerator: [{name: other, literals: [a=b]}]\n"}})
	d.Ask("platform")
	d.Eventually("the Pipeline is gone", func() (bool, string) { return d.pipeline().Name == "", "not yet" })
	deletes := d.kfp.Count("DELETE", "")
	if deletes != 0 {
		t.Errorf("%d requests deleted something", deletes)
	}
}

// Where pipelines are objects, a version is one, made in the name of the account.
func TestPipelineAsObjects(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a control plane")
	}
	d := newDelivery(t, kfp.Options{Native: func() []kfp.Object { return nil }}, unhashed)
	d.await("is refused", func(_ *v1alpha1.Pipeline, ready metav1.Condition) bool {
		return ready.Reason == "Forbidden" && strings.Contains(ready.Message, `"system:serviceaccount:fraud:trainer"`)
	})
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "fraud", Name: "trainer"}}
	d.Update(role, func() {
		role.Rules = append(role.Rules, deliversPipelines...)
	})
	p := d.pipeline()
	d.Update(p, func() {
		p.Annotations["reconcile.fluxcd.io/requestedAt"] = time.Now().Format(time.RFC3339Nano)
	})
	first := d.delivered(compiledPipeline("trainer:1"))
	object := d.Get("pipelines.kubeflow.org/v2beta1", "PipelineVersion", "fraud", "fraud-train-"+first.Status.Version)
	if object == nil || string(object.GetUID()) != first.Status.VersionID || object.GetManagedFields()[0].Manager != "sluice" {
		t.Fatalf("the object of %+v is %v", first.Status, object)
	}
	if n := d.kfp.Count("POST", ""); n != 0 {
		t.Errorf("%d requests made something", n)
	}
	d.trained()

	// The ConfigMap has the same name, and something else in it.
	d.commit(compiledPipeline("trainer:2"))
	if second := d.delivered(compiledPipeline("trainer:2")); second.Generation != first.Generation || second.Status.PipelineID != first.Status.PipelineID {
		t.Errorf("the second is %+v", second)
	}
	d.trained()
	if n := len(d.objects()); n != 2 {
		t.Errorf("there are %d versions", n)
	}
}
