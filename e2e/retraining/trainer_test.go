package retraining_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// training is a container that has begun, as it would find itself.
type training struct {
	// job is the name of its Job.
	job string
	// out is where it has been told to write, below the bucket: "runs/fraud-20261125-0300/1/".
	out string
	// number of it in the house, from 1.
	number int
}

// made is what a container leaves when it ends.
type made struct {
	// files below out, in the order in which they are written.
	files [][2]string
	// last is its termination message, and exit its exit code.
	last string
	exit int32
}

// trainer does what the containers of Jobs would do where none are started: of each pod that runs with the image
// trainer it reads the arguments, writes to the bucket what the work says, and ends the pod as a kubelet
// does. Such pods have the annotation that keeps kwok from ending them.
type trainer struct {
	house *house
	work  func(training) *made

	mu    sync.Mutex
	begun map[types.UID]bool
	// jobs that it has worked in, in their order.
	jobs []string
}

// train has work done in all pods of the namespace until the test ends. Where work gives nothing, the pod runs on.
func (h *house) train(work func(training) *made) *trainer {
	h.T.Helper()
	t := &trainer{house: h, work: work, begun: map[types.UID]bool{}}
	ctx, stop := context.WithCancel(context.Background())
	var working sync.WaitGroup
	h.T.Cleanup(func() { stop(); working.Wait() })
	events, err := h.Client.Watch(ctx, &corev1.PodList{}, client.InNamespace(h.Namespace))
	h.must(err)
	working.Go(func() {
		for event := range events.ResultChan() {
			if pod, is := event.Object.(*corev1.Pod); is && t.takes(pod) {
				n := t.note(pod)
				working.Go(func() {
					if err := t.run(ctx, pod.DeepCopy(), n); err != nil && ctx.Err() == nil {
						h.T.Errorf("the pod %s: %v", pod.Name, err)
					}
				})
			}
		}
	})
	return t
}

// takes tells whether a pod has just begun to run.
func (t *trainer) takes(pod *corev1.Pod) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil && pod.Spec.Containers[0].Image == "trainer" && !t.begun[pod.UID]
}

func (t *trainer) note(pod *corev1.Pod) (number int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun[pod.UID] = true
	t.jobs = append(t.jobs, pod.Labels["job-name"])
	return len(t.jobs)
}

// worked are the jobs that have begun.
func (t *trainer) worked() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.jobs)
}

func (t *trainer) run(ctx context.Context, pod *corev1.Pod, number int) error {
	h, out := t.house, ""
	for _, argument := range pod.Spec.Containers[0].Args {
		if uri, is := strings.CutPrefix(argument, "--out="); is {
			out = strings.TrimPrefix(uri, "s3://"+h.bucket+"/")
		}
	}
	m := t.work(training{pod.Labels["job-name"], out, number})
	if m == nil {
		return nil
	}
	for _, f := range m.files {
		if err := h.store.Put(ctx, h.bucket, out+f[0], strings.NewReader(f[1])); err != nil {
			return err
		}
	}
	return client.IgnoreNotFound(t.end(ctx, pod, *m))
}

// end is what the kubelet says of a pod whose container has ended.
func (t *trainer) end(ctx context.Context, pod *corev1.Pod, m made) error {
	before := pod.DeepCopy()
	pod.Status.Phase = corev1.PodSucceeded
	ended := corev1.ContainerStateTerminated{ExitCode: m.exit, Reason: "Completed", Message: m.last, StartedAt: pod.CreationTimestamp, FinishedAt: metav1.NewTime(time.Now())}
	if m.exit != 0 {
		pod.Status.Phase, ended.Reason = corev1.PodFailed, "Error"
	}
	container := pod.Spec.Containers[0]
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: container.Name, Image: container.Image, State: corev1.ContainerState{Terminated: &ended}}}
	return t.house.Client.Status().Patch(ctx, pod, client.MergeFrom(before))
}

// writes is the work of a container that trains a model with an AUC: the model, and last of all the document.
func (h *house) writes(auc string) func(training) *made {
	return func(t training) *made {
		content := "the model of " + t.job
		return &made{files: [][2]string{
			{"model.bin", content},
			{"result.json", fmt.Sprintf(`{"uri": "s3://%s/%smodel.bin", "digest": %q, "format": {"name": "sklearn", "version": "1"}, "metrics": {"auc": %s}, "dataset": "s3://%[1]s/data/"}`,
				h.bucket, t.out, digest(content), auc)},
		}}
	}
}

// fails is the work of a container that ends with an error.
func fails(training) *made { return &made{exit: 1, last: "the table is empty"} }

// goesOn is the work of one that never ends.
func goesOn(training) *made { return nil }
