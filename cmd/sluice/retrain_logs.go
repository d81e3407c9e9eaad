package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	gosync "sync"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/engine"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// logging is one call of `sluice retrain logs`.
type logging struct {
	follow  bool
	attempt int32
	tail    int64
	out     *logPrinter
	remarks io.Writer
	client  client.WithWatch
	pods    corev1client.PodInterface
}

func newRetrainLogsCommand() *cobra.Command {
	l := logging{tail: -1}
	cmd := &cobra.Command{
		Use:   "logs RETRAINING|RUN",
		Short: "Show the logs of a run's pods",
		Long: `Show the logs of all containers of the pods of a run, or of the newest run of a Retraining.
Where there are several containers, each line begins with its pod and its container.

With --follow, go on as lines come and pods begin, until the attempt has ended.`,
		Example: `  # What does it do right now?
  sluice retrain logs fraud-weekly -f

  # Why did the first attempt fail?
  sluice retrain logs fraud-weekly-20261123-0300 --attempt 1 --tail 50`,
		Args: usage(cobra.ExactArgs(1), "name one Retraining or one of its runs: sluice retrain logs RETRAINING"),
	}
	cmd.Flags().BoolVarP(&l.follow, "follow", "f", false, "Go on until the attempt has ended.")
	cmd.Flags().Int32Var(&l.attempt, "attempt", 0, "Number of the attempt. Default: the last.")
	cmd.Flags().Int64Var(&l.tail, "tail", l.tail, "How many of the last lines of each container; -1 for all.")
	a := reach(cmd)
	cmd.ValidArgsFunction = a.completeName(v1alpha1.RetrainingKind, v1alpha1.RetrainingRunKind)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if l.attempt < 0 || l.tail < -1 {
			return errors.New("--attempt counts from 1, and --tail lines from 0")
		}
		c, key, err := a.named(args[0])
		if err != nil {
			return err
		}
		config, err := a.config()
		if err != nil {
			return err
		}
		core, err := corev1client.NewForConfig(config)
		if err != nil {
			return err
		}
		l.client, l.pods = c, core.Pods(key.Namespace)
		l.out, l.remarks = &logPrinter{out: cmd.OutOrStdout()}, cmd.ErrOrStderr()
		return l.run(cmd.Context(), key)
	}
	return cmd
}

func (l *logging) run(ctx context.Context, key types.NamespacedName) error {
	run, err := l.find(ctx, key)
	if err != nil {
		return err
	}
	attempt, err := l.attemptOf(ctx, run)
	if err != nil {
		return err
	}
	about := fmt.Sprintf("RetrainingRun %s, attempt %d", client.ObjectKeyFromObject(run), attempt.Number)
	if run.Name != key.Name {
		fmt.Fprintln(l.remarks, about)
	}
	pods := engine.Pods(engine.Run{Namespace: run.Namespace, Name: attempt.Name, ID: attempt.ID, Template: *run.Spec.Run})
	if pods == "" {
		return fmt.Errorf("%s: which pods are its is not known: %s", about, elsewhere(run, attempt))
	}
	if l.follow {
		err = l.followAll(ctx, run, attempt, pods)
	} else {
		err = l.showAll(ctx, pods)
	}
	if err == nil && l.out.streams == 0 && ctx.Err() == nil {
		return fmt.Errorf("%s has no pods with logs, or none any more: %s", about, elsewhere(run, attempt))
	}
	return err
}

// elsewhere says where else to look.
func elsewhere(run *v1alpha1.RetrainingRun, a v1alpha1.RunAttempt) string {
	if a.URL != "" {
		return "see " + oneLine(a.URL)
	}
	return fmt.Sprintf("see what there is with kubectl get pods -n %s", run.Namespace)
}

// find reads the run of a name, or the newest run of the Retraining of a name that was not over before it began.
func (l *logging) find(ctx context.Context, key types.NamespacedName) (*v1alpha1.RetrainingRun, error) {
	var run v1alpha1.RetrainingRun
	err := l.client.Get(ctx, key, &run)
	if err == nil || !apierrors.IsNotFound(err) {
		return &run, explain(err, v1alpha1.RetrainingRunKind, key)
	}
	var r v1alpha1.Retraining
	if err := l.client.Get(ctx, key, &r); apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("there is no Retraining and no RetrainingRun %s in namespace %s: see what there is with sluice get retrainings -A", key.Name, key.Namespace)
	} else if err != nil {
		return nil, explain(err, v1alpha1.RetrainingKind, key)
	}
	runs, err := runsOf(ctx, l.client, &r)
	if err != nil {
		return nil, err
	}
	n := slices.IndexFunc(runs, func(run v1alpha1.RetrainingRun) bool {
		return len(run.Status.Attempts) > 0 || l.follow && !run.Status.Phase.Ended()
	})
	if n < 0 {
		return nil, fmt.Errorf("no run of Retraining %s has begun: %s", key, oneLine(retrainingMessage(&r, r.CreationTimestamp.Time)))
	}
	return &runs[n], nil
}

// attemptOf is the attempt whose logs are asked for. Who follows a run that has not begun waits for it.
func (l *logging) attemptOf(ctx context.Context, run *v1alpha1.RetrainingRun) (v1alpha1.RunAttempt, error) {
	if l.follow && int(l.attempt) <= 1 {
		begun := func(o client.Object) bool {
			status := o.(*v1alpha1.RetrainingRun).Status
			return len(status.Attempts) > 0 || status.Phase.Ended()
		}
		o, err := await(ctx, l.client, kindOf(v1alpha1.RetrainingRunKind), run, begun)
		if err != nil {
			return v1alpha1.RunAttempt{}, err
		}
		*run = *o.(*v1alpha1.RetrainingRun)
	}
	name := client.ObjectKeyFromObject(run)
	switch newest := newestAttempt(run); {
	case newest.Number == 0 || run.Spec.Run == nil:
		return newest, fmt.Errorf("RetrainingRun %s has not called its engine, and is %s: %s", name, phaseOf(run), oneLine(runMessage(run)))
	case l.attempt == 0:
		return newest, nil
	}
	for _, a := range run.Status.Attempts {
		if a.Number == l.attempt {
			return a, nil
		}
	}
	return v1alpha1.RunAttempt{}, fmt.Errorf("RetrainingRun %s has no attempt %d: it has had %d", name, l.attempt, len(run.Status.Attempts))
}

// container is one whose log is shown, as often as it was started.
type container struct {
	pod      types.UID
	podName  string
	name     string
	restarts int32
}

// list finds the containers of pods that have something to say, pods in the order in which they were made.
func (l *logging) list(ctx context.Context, selector string) (begun []container, version string, err error) {
	pods, err := l.pods.List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, "", explain(err, "", types.NamespacedName{})
	}
	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int { return -newestFirst(&a, &b) })
	for _, pod := range pods.Items {
		begun = append(begun, begunOf(&pod)...)
	}
	return begun, pods.ResourceVersion, nil
}

// begunOf are the containers of a pod that have begun.
func begunOf(pod *corev1.Pod) []container {
	var begun []container
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if s.State.Running != nil || s.State.Terminated != nil {
			begun = append(begun, container{pod.UID, pod.Name, s.Name, s.RestartCount})
		}
	}
	return begun
}

// showAll shows what there is, one container after the other. One whose log cannot be had does not keep the
// others from being shown.
func (l *logging) showAll(ctx context.Context, selector string) error {
	containers, _, err := l.list(ctx, selector)
	if err != nil {
		return err
	}
	l.out.more(len(containers))
	var failures []error
	for _, c := range containers {
		failures = append(failures, l.show(ctx, c))
	}
	return errors.Join(failures...)
}

// show copies the log of one container.
func (l *logging) show(ctx context.Context, c container) error {
	options := &corev1.PodLogOptions{Container: c.name, Follow: l.follow}
	if l.tail >= 0 {
		options.TailLines = &l.tail
	}
	stream, err := l.pods.GetLogs(c.podName, options).Stream(ctx)
	if err == nil {
		defer stream.Close()
		err = l.out.copy(fmt.Sprintf("[%s/%s] ", c.podName, c.name), stream)
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("the log of %s/%s cannot be read: %w", c.podName, c.name, explain(err, "", types.NamespacedName{}))
	}
	return nil
}

// followAll shows the logs of all containers while they are written, and of those that begin meanwhile,
// until the attempt has ended.
func (l *logging) followAll(ctx context.Context, run *v1alpha1.RetrainingRun, attempt v1alpha1.RunAttempt, selector string) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	over := make(chan error, 1)
	go func() {
		_, err := await(watching, l.client, kindOf(v1alpha1.RetrainingRunKind), run, func(o client.Object) bool { return attemptOver(o, attempt.Number) })
		stop()
		over <- err
	}()
	f := following{logging: l, ctx: ctx, seen: map[container]bool{}}
	err := f.watch(watching, selector)
	stop()
	if ended := <-over; err == nil && ctx.Err() == nil && !errors.Is(ended, context.Canceled) {
		err = ended
	}
	if err == nil && ctx.Err() == nil { // what began and ended between two looks
		var containers []container
		containers, _, err = l.list(ctx, selector)
		f.begin(containers)
	}
	f.streams.Wait()
	return errors.Join(append(f.failures, err)...)
}

// attemptOver tells whether an attempt writes no more.
func attemptOver(o client.Object, number int32) bool {
	status := o.(*v1alpha1.RetrainingRun).Status
	return status.Phase.Ended() || slices.ContainsFunc(status.Attempts, func(a v1alpha1.RunAttempt) bool {
		return a.Number == number && (a.Phase.Ended() || a.EndedAt != nil) || a.Number > number
	})
}

// following is the logs that are followed.
type following struct {
	*logging
	ctx      context.Context
	seen     map[container]bool
	streams  gosync.WaitGroup
	lock     gosync.Mutex
	failures []error
}

// watch follows each container that begins, until the context ends.
func (f *following) watch(ctx context.Context, selector string) error {
	for ctx.Err() == nil {
		containers, version, err := f.list(ctx, selector)
		if err != nil {
			return ifWanted(ctx, err)
		}
		f.begin(containers)
		stream, err := f.pods.Watch(ctx, metav1.ListOptions{LabelSelector: selector, ResourceVersion: version})
		if err != nil {
			return ifWanted(ctx, explain(err, "", types.NamespacedName{}))
		}
		for event := range stream.ResultChan() {
			if pod, ok := event.Object.(*corev1.Pod); ok {
				f.begin(begunOf(pod))
			}
		}
		stream.Stop()
	}
	return nil
}

// ifWanted is an error, unless it comes from nobody waiting any more.
func ifWanted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// begin follows those that are not followed yet.
func (f *following) begin(containers []container) {
	containers = slices.DeleteFunc(slices.Clone(containers), func(c container) bool { return f.seen[c] })
	f.out.more(len(containers)) // before the first line of the first of them
	for _, c := range containers {
		f.seen[c] = true
		f.streams.Go(func() {
			if err := f.show(f.ctx, c); err != nil {
				f.lock.Lock()
				defer f.lock.Unlock()
				f.failures = append(f.failures, err)
			}
		})
	}
}

// logPrinter prints lines of several logs, and says whose they are once there are several.
type logPrinter struct {
	out     io.Writer
	lock    gosync.Mutex
	streams int
}

func (p *logPrinter) more(streams int) {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.streams += streams
}

// longestLine bounds the memory that a log takes: a longer line is cut into several.
const longestLine = 64 << 10

func (p *logPrinter) copy(prefix string, from io.Reader) error {
	in := bufio.NewReaderSize(from, longestLine)
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 {
			if err := p.print(prefix, line); err != nil {
				return err
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return ioEnd(err)
		}
	}
}

func ioEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (p *logPrinter) print(prefix string, line []byte) error {
	p.lock.Lock()
	defer p.lock.Unlock()
	var whole strings.Builder
	if p.streams > 1 {
		whole.WriteString(prefix)
	}
	whole.Write(bytes.TrimSuffix(line, []byte("\n")))
	whole.WriteByte('\n')
	_, err := io.WriteString(p.out, whole.String())
	return err
}
