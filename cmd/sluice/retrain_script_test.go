package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/slot"
	"github.com/sluice-dev/sluice/e2e/cluster"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// typed reads and writes the kinds of the agent and of Kubernetes.
func (w *world) typed() (client.Client, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return client.New(w.cluster.Config(), client.Options{Scheme: scheme})
}

// status FILE... writes the statuses of objects of the script's namespace, which are what the agent or an
// engine has said; $RUN is the run that was decided upon last.
func (w *world) status(ts *testscript.TestScript, _ bool, files []string) {
	for _, file := range files {
		text := strings.NewReplacer("$RUN", ts.Getenv("RUN"), "$NS", ts.Getenv("NS")).Replace(ts.ReadFile(file))
		for document := range strings.SplitSeq(text, "---\n") {
			o := &unstructured.Unstructured{}
			ts.Check(yaml.Unmarshal([]byte(document), &o.Object))
			o.SetNamespace(ts.Getenv("NS"))
			patch, err := json.Marshal(map[string]any{"status": o.Object["status"]})
			ts.Check(err)
			ts.Check(w.client.Status().Patch(context.Background(), o, client.RawPatch(types.MergePatchType, patch)))
		}
	}
}

// decide RETRAINING waits until a run is asked for, and does what the agent does then: what is decided
// goes on record. It sets $RUN.
func (w *world) decide(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := w.typed()
	ts.Check(err)
	var r v1alpha1.Retraining
	for asked := false; !asked; time.Sleep(20 * time.Millisecond) {
		ts.Check(c.Get(ctx, client.ObjectKey{Namespace: ts.Getenv("NS"), Name: args[0]}, &r))
		value := r.Annotations[meta.ReconcileRequestAnnotation]
		asked = value != "" && value != r.Status.LastHandledReconcileAt
	}
	var runs v1alpha1.RetrainingRunList
	ts.Check(c.List(ctx, &runs, client.InNamespace(r.Namespace)))
	runs.Items = slices.DeleteFunc(runs.Items, func(run v1alpha1.RetrainingRun) bool { return run.Spec.Retraining != r.Name })
	request := slot.Request{Value: r.Annotations[meta.ReconcileRequestAnnotation]}
	if text := r.Annotations[v1alpha1.ParametersAnnotation]; text != "" {
		ts.Check(json.Unmarshal([]byte(text), &request.Parameters))
	}
	decision, err := slot.Decide(slot.Facts{Now: time.Now(), Retraining: r, Runs: runs.Items, Request: request})
	ts.Check(err)
	for _, begun := range decision.Begin {
		ts.Setenv("RUN", begun.Name)
		ts.Check(c.Create(ctx, &v1alpha1.RetrainingRun{
			ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: begun.Name, Labels: map[string]string{v1alpha1.RetrainingLabel: r.Name}},
			Spec: v1alpha1.RetrainingRunSpec{Retraining: r.Name, Slot: metav1.NewTime(begun.Slot), Trigger: begun.Trigger,
				Model: r.Spec.Model, Run: &r.Spec.Run, Parameters: begun.Parameters},
		}))
	}
	r.Status = decision.Status
	ts.Check(c.Status().Update(ctx, &r))
}

// watched RESOURCE waits until a command in the background watches objects of the script's namespace.
func (w *world) watched(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for begun := false; !begun; time.Sleep(20 * time.Millisecond) {
		requests, err := w.cluster.Requests(ctx)
		ts.Check(errors.Join(err, ctx.Err()))
		begun = slices.ContainsFunc(requests.By("sluice-cli/").Of(args[0]).Verb("watch"), func(q cluster.Request) bool {
			return q.Namespace == ts.Getenv("NS") && q.Code == 0 // it goes on
		})
	}
}

// kubelet plays the kubelet of the Node that has the name of the namespace, as far as logs go. A container
// says three lines: the last one, to those who follow it, when it has terminated.
func (w *world) kubelet(ts *testscript.TestScript, _ bool, _ []string) {
	c, err := w.typed()
	ts.Check(err)
	server := httptest.NewTLSServer(http.HandlerFunc(func(out http.ResponseWriter, request *http.Request) {
		part := strings.Split(strings.Trim(request.URL.Path, "/"), "/") // containerLogs, namespace, pod, container
		if len(part) != 4 || part[0] != "containerLogs" {
			http.NotFound(out, request)
			return
		}
		lines := []string{"begins", "goes on", "ends"}
		if tail, err := strconv.Atoi(request.URL.Query().Get("tailLines")); err == nil {
			lines = lines[max(0, len(lines)-tail):]
		}
		for n, line := range lines {
			if n == len(lines)-1 && request.URL.Query().Get("follow") == "true" {
				_ = http.NewResponseController(out).Flush() // what was said until now
				for !terminated(request.Context(), c, part[1], part[2], part[3]) {
					time.Sleep(20 * time.Millisecond)
				}
			}
			fmt.Fprintf(out, "%s of %s %s\n", part[3], part[2], line)
		}
	}))
	ts.Defer(server.Close)
	address := server.Listener.Addr().(*net.TCPAddr)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: ts.Getenv("NS")}}
	ts.Check(c.Create(context.Background(), node))
	before := client.MergeFrom(node.DeepCopy())
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address.IP.String()}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(address.Port)
	ts.Check(c.Status().Patch(context.Background(), node, before))
}

// terminated tells whether a container has ended, or nobody asks any more.
func terminated(ctx context.Context, c client.Client, namespace, pod, container string) bool {
	var p corev1.Pod
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: pod}, &p)
	return ctx.Err() != nil || err == nil && slices.ContainsFunc(p.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.Name == container && s.State.Terminated != nil
	})
}
