package kserve

import (
	"context"
	"maps"
	"reflect"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// sourceAnnotation tells pods from where to load the artifact.
const sourceAnnotation = "internal.serving.kserve.io/storage-initializer-sourceuri"

// withheld are annotations of an InferenceService that KServe does not hand on to pods.
var withheld = []string{"modelFormat", sourceAnnotation, "kubectl.kubernetes.io/last-applied-configuration"}

// metadata of the pods of a predictor: its labels and annotations win over those of the
// InferenceService.
func metadata(isvc *unstructured.Unstructured, p predictor) (labels, annotations map[string]string) {
	labels, annotations = map[string]string{}, map[string]string{}
	maps.Copy(labels, isvc.GetLabels())
	maps.Copy(labels, p.labels)
	labels["serving.kserve.io/inferenceservice"], labels["component"] = isvc.GetName(), "predictor"
	maps.Copy(annotations, isvc.GetAnnotations())
	for _, name := range withheld {
		delete(annotations, name)
	}
	annotations[sourceAnnotation] = p.uri
	maps.Copy(annotations, p.annotations)
	return labels, annotations
}

// workload is a Deployment of pods that load an artifact.
func (s *StandIn) workload(namespace, name string, replicas int64, labels, annotations map[string]string, p predictor) *appsv1.Deployment {
	labels = maps.Clone(labels)
	labels["app"] = "isvc." + name
	pods := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: maps.Clone(annotations)},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: container, Image: "model-server"}}},
	}
	if p.broken() {
		pods.Annotations["fake.sluice.dev/pod"] = "Crash"
	}
	if s.options.ReadyAfter > 0 {
		pods.Annotations["fake.sluice.dev/ready-after"] = s.options.ReadyAfter.String()
	}
	if p.unschedulable() {
		pods.Spec.NodeSelector = map[string]string{"nowhere": "1"}
	}
	count := int32(replicas)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels, Annotations: annotations},
		Spec: appsv1.DeploymentSpec{
			Replicas: &count, Template: pods,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": labels["app"]}},
		},
	}
}

// deploy creates or changes a Deployment, and returns it as it is.
func (s *StandIn) deploy(ctx context.Context, owner client.Object, d *appsv1.Deployment) (*appsv1.Deployment, error) {
	if err := controllerutil.SetControllerReference(owner, d, scheme()); err != nil {
		return nil, err
	}
	var live appsv1.Deployment
	err := s.client.Get(ctx, client.ObjectKeyFromObject(d), &live)
	if apierrors.IsNotFound(err) {
		return d, s.client.Create(ctx, d)
	}
	if err != nil || same(&live, d) {
		return &live, err
	}
	live.Labels, live.Annotations = d.Labels, merged(live.Annotations, d.Annotations)
	live.Spec.Replicas = d.Spec.Replicas
	live.Spec.Template.Labels, live.Spec.Template.Annotations = d.Spec.Template.Labels, d.Spec.Template.Annotations
	live.Spec.Template.Spec.NodeSelector = d.Spec.Template.Spec.NodeSelector
	live.Spec.Template.Spec.Containers[0].Args = d.Spec.Template.Spec.Containers[0].Args
	return &live, s.client.Update(ctx, &live)
}

func same(live, d *appsv1.Deployment) bool {
	return *live.Spec.Replicas == *d.Spec.Replicas &&
		reflect.DeepEqual(live.Spec.Template.Labels, d.Spec.Template.Labels) &&
		reflect.DeepEqual(live.Spec.Template.Annotations, d.Spec.Template.Annotations) &&
		reflect.DeepEqual(live.Spec.Template.Spec.NodeSelector, d.Spec.Template.Spec.NodeSelector) &&
		reflect.DeepEqual(live.Spec.Template.Spec.Containers[0].Args, d.Spec.Template.Spec.Containers[0].Args)
}

func merged(into, from map[string]string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, into)
	maps.Copy(all, from)
	return all
}

// expose creates the Service of a Deployment.
func (s *StandIn) expose(ctx context.Context, owner client.Object, d *appsv1.Deployment) error {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: d.Name, Labels: d.Labels},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "isvc." + d.Name},
			Ports:    []corev1.ServicePort{{Name: d.Name, Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}
	if len(service.Spec.Ports[0].Name) > 63 {
		service.Spec.Ports[0].Name = "http"
	}
	if err := controllerutil.SetControllerReference(owner, service, scheme()); err != nil {
		return err
	}
	if err := s.client.Create(ctx, service); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// lookAgain is when pods are looked at again: a Deployment does not change because one of them
// fails.
const lookAgain = 300 * time.Millisecond

// loading is the state of a model, read from its pods as KServe does: from the first of them.
type loading struct {
	pods   int
	ready  int
	failed string // why, if it did
}

func (s *StandIn) loading(ctx context.Context, namespace string, labels client.MatchingLabels) (loading, error) {
	var pods corev1.PodList
	if err := s.client.List(ctx, &pods, client.InNamespace(namespace), labels); err != nil {
		return loading{}, err
	}
	l := loading{pods: len(pods.Items)}
	for n, pod := range pods.Items {
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				l.ready++
			}
		}
		for _, c := range pod.Status.ContainerStatuses {
			if n == 0 && c.State.Waiting != nil && c.State.Waiting.Reason == "CrashLoopBackOff" {
				l.failed = "RuntimeError: the artifact cannot be read"
			}
		}
	}
	return l, nil
}

// key is the name of a child of an object.
func key(o client.Object, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: name}
}
