package kserve

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// standard is the Standard mode: canaries first, then what is left of others goes, then the main
// predictor, then the way to it.
func (s *StandIn) standard(ctx context.Context, isvc *unstructured.Unstructured, st status, main predictor, canaries []canary) (time.Duration, error) {
	if err := s.canaries(ctx, isvc, st, main, canaries); err != nil {
		return 0, err
	}
	if err := s.sweep(ctx, isvc, main, canaries); err != nil {
		return 0, err
	}
	replicas := main.least()
	if main.minReplicas != nil && taken(st, main, canaries) > 0 {
		replicas = max(replicas-taken(st, main, canaries), 1)
	}
	live, err := s.run(ctx, isvc, main, replicas)
	if err != nil {
		return 0, err
	}
	available := conditionIn(live, appsv1.DeploymentAvailable)
	st.mark(predictorReady(available, conditionIn(live, appsv1.DeploymentProgressing)))
	st["observedGeneration"] = live.Status.ObservedGeneration
	st["clusterServingRuntimeName"] = "kserve-sklearnserver"
	if st.condition("PredictorReady").value == "True" {
		st.at("components", "predictor")["url"] = host(live.Name, live.Namespace)
	}
	again, err := s.ingress(ctx, isvc, st, main, canaries)
	if err != nil {
		return 0, err
	}
	st.sum("PredictorReady", "IngressReady")
	l, err := s.loading(ctx, isvc.GetNamespace(), client.MatchingLabels{"app": "isvc." + live.Name})
	if err != nil {
		return 0, err
	}
	switch {
	case l.pods > 0 && st.condition("Ready").value == "True":
		transition(st, l, "Loaded")
	case l.failed != "":
		transition(st, l, "FailedToLoad")
	default:
		transition(st, l, "Pending")
	}
	return max(again, lookAgain), nil
}

// run has the Deployment and the Service of a predictor. An autoscaler leaves one pod at least.
func (s *StandIn) run(ctx context.Context, isvc *unstructured.Unstructured, p predictor, replicas int64) (*appsv1.Deployment, error) {
	labels, annotations := metadata(isvc, p)
	d, err := s.deploy(ctx, isvc, s.workload(isvc.GetNamespace(), child(isvc.GetName(), p), max(replicas, 1), labels, annotations, p))
	if err != nil {
		return nil, err
	}
	return d, s.expose(ctx, isvc, d)
}

// canaries runs the canaries and notes how they are. They are ready with their first pod.
func (s *StandIn) canaries(ctx context.Context, isvc *unstructured.Unstructured, st status, main predictor, canaries []canary) error {
	delete(st, "canaryStatuses")
	st.unmark("CanaryPredictorReady")
	all := condition{name: "CanaryPredictorReady", value: "True", reason: "AllCanariesReady", severity: "Info"}
	var statuses []any
	for _, c := range canaries {
		d, err := s.runCanary(ctx, isvc, main, c)
		if err != nil {
			return err
		}
		ready := d.Status.AvailableReplicas > 0
		if !ready {
			all.value, all.reason = "False", "CanariesNotReady"
		}
		statuses = append(statuses, map[string]any{
			"name": c.name, "ready": ready, "trafficPercent": c.percent, "modelStatus": map[string]any{"transitionStatus": ""},
		})
	}
	if len(canaries) > 0 {
		st["canaryStatuses"] = statuses
		st.mark(all)
	}
	return nil
}

// runCanary has no pods for a canary that by its percent has none. One that is told to have none
// keeps one, as an autoscaler does.
func (s *StandIn) runCanary(ctx context.Context, isvc *unstructured.Unstructured, main predictor, c canary) (*appsv1.Deployment, error) {
	replicas := c.replicas(main)
	if c.minReplicas != nil {
		replicas = max(replicas, 1)
	}
	labels, annotations := metadata(isvc, c.predictor)
	d, err := s.deploy(ctx, isvc, s.workload(isvc.GetNamespace(), child(isvc.GetName(), c.predictor), replicas, labels, annotations, c.predictor))
	if err != nil {
		return nil, err
	}
	return d, s.expose(ctx, isvc, d)
}

// taken is how many replicas ready canaries take from the main predictor.
func taken(st status, main predictor, canaries []canary) int64 {
	var n int64
	for _, c := range canaries {
		if readyCanary(st, c.name) {
			n += c.replicas(main)
		}
	}
	return n
}

func readyCanary(st status, name string) bool {
	statuses, _ := st["canaryStatuses"].([]any)
	for _, item := range statuses {
		if of, _ := item.(map[string]any); of["name"] == name {
			return of["ready"] == true
		}
	}
	return false
}

// sweep deletes what belongs to predictors that are not there any more. What serves may be
// among it: KServe does not look.
func (s *StandIn) sweep(ctx context.Context, isvc *unstructured.Unstructured, main predictor, canaries []canary) error {
	own := []client.ListOption{client.InNamespace(isvc.GetNamespace()), client.MatchingLabels{
		"serving.kserve.io/inferenceservice": isvc.GetName(), "component": "predictor",
	}}
	expected := map[string]bool{child(isvc.GetName(), main): true}
	for _, c := range canaries {
		expected[child(isvc.GetName(), c.predictor)] = true
	}
	var deployments appsv1.DeploymentList
	if err := s.client.List(ctx, &deployments, own...); err != nil {
		return err
	}
	serves := map[string]bool{}
	for _, d := range deployments.Items {
		serves[d.Name] = d.Status.AvailableReplicas > 0
	}
	for _, d := range deployments.Items {
		if expected[d.Name] {
			continue
		}
		if serves[d.Name] && !serves[child(isvc.GetName(), main)] {
			s.complain("InferenceService %s/%s: an outage: Deployment %s goes, and %s does not serve", isvc.GetNamespace(), isvc.GetName(), d.Name, child(isvc.GetName(), main))
		}
		if err := client.IgnoreNotFound(s.client.Delete(ctx, &d)); err != nil {
			return err
		}
	}
	var services corev1.ServiceList
	if err := s.client.List(ctx, &services, own...); err != nil {
		return err
	}
	for _, service := range services.Items {
		if expected[service.Name] {
			continue
		}
		if err := client.IgnoreNotFound(s.client.Delete(ctx, &service)); err != nil {
			return err
		}
	}
	return nil
}

func conditionIn(d *appsv1.Deployment, kind appsv1.DeploymentConditionType) appsv1.DeploymentCondition {
	for _, c := range d.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return appsv1.DeploymentCondition{Status: corev1.ConditionUnknown}
}

// predictorReady makes one condition of two of a Deployment. A rollout does not show in it.
func predictorReady(available, progressing appsv1.DeploymentCondition) condition {
	from := func(c appsv1.DeploymentCondition, value string) condition {
		return condition{name: "PredictorReady", value: value, reason: c.Reason, message: c.Message}
	}
	ready := from(appsv1.DeploymentCondition{}, "False")
	if available.Status == corev1.ConditionTrue {
		ready = from(available, "True")
	}
	switch {
	case progressing.Status == corev1.ConditionFalse && progressing.Message != "":
		ready = from(progressing, "False")
	case progressing.Status == corev1.ConditionTrue && progressing.Reason == "NewReplicaSetAvailable":
		ready = from(progressing, "True")
	case progressing.Status == corev1.ConditionTrue && available.Status != corev1.ConditionTrue:
		ready = from(progressing, "Unknown")
	}
	if available.Status == corev1.ConditionFalse {
		ready = from(available, "False")
	}
	return ready
}
