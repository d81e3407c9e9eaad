package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// startTrainer builds the program that trains, and from then on runs it for each Pod of a Job in the
// model's namespace, as a node would that runs containers.
func (d *demo) startTrainer(ctx context.Context) (string, error) {
	build := exec.CommandContext(ctx, "go", "build", "-o", d.trainer(), "./e2e/trainer")
	build.Dir = d.root
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./e2e/trainer: %w\n%s", err, output)
	}
	go func() { d.fail(d.runTrainings(ctx)) }()
	return "the program in the container of a training, run as a process", nil
}

func (d *demo) trainer() string { return filepath.Join(d.bin, "trainer") }

func (d *demo) runTrainings(ctx context.Context) error {
	begun := map[types.UID]bool{}
	return follow(ctx, d.client, &corev1.PodList{}, func(p *corev1.Pod) bool {
		if p.Status.Phase == corev1.PodRunning && p.Labels[batchv1.JobNameLabel] != "" && !begun[p.UID] {
			begun[p.UID] = true
			go func(p *corev1.Pod) {
				if err := d.runTraining(ctx, p); err != nil {
					d.fail(fmt.Errorf("the training of Pod %s: %w", p.Name, err))
				}
			}(p.DeepCopy())
		}
		return false
	}, client.InNamespace(model))
}

// runTraining runs the program with the variables of the container, and says of the Pod what a kubelet
// says when the container has ended.
func (d *demo) runTraining(ctx context.Context, p *corev1.Pod) error {
	variables, err := d.variables(ctx, p)
	if err != nil {
		return err
	}
	program := exec.CommandContext(ctx, d.trainer())
	program.Env, program.SysProcAttr = variables, tether()
	output, err := program.CombinedOutput()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	before := p.DeepCopy()
	ended := &corev1.ContainerStateTerminated{Reason: "Completed", Message: lastLine(output), FinishedAt: metav1.Now()}
	p.Status.Phase = corev1.PodSucceeded
	if err != nil {
		p.Status.Phase, ended.Reason, ended.ExitCode = corev1.PodFailed, "Error", 1
	}
	for n := range p.Status.ContainerStatuses {
		s := &p.Status.ContainerStatuses[n]
		s.Ready, s.State = false, corev1.ContainerState{Terminated: ended}
	}
	return client.IgnoreNotFound(d.client.Status().Patch(ctx, p, client.MergeFrom(before)))
}

// variables are those of the container of a training.
func (d *demo) variables(ctx context.Context, p *corev1.Pod) ([]string, error) {
	var variables []string
	container := p.Spec.Containers[0]
	for _, from := range container.EnvFrom {
		var secret corev1.Secret
		if err := d.client.Get(ctx, client.ObjectKey{Namespace: p.Namespace, Name: from.SecretRef.Name}, &secret); err != nil {
			return nil, err
		}
		for name, value := range secret.Data {
			variables = append(variables, name+"="+string(value))
		}
	}
	for _, v := range container.Env {
		variables = append(variables, v.Name+"="+v.Value)
	}
	return variables, nil
}

// lastLine is what a kubelet takes for the last words of a container that says nothing else.
func lastLine(output []byte) string {
	text := strings.TrimSpace(string(output))
	return text[strings.LastIndex(text, "\n")+1:]
}
