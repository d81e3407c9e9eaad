package kserve

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// playService is KServe's controller of InferenceServices.
func (s *StandIn) playService(ctx context.Context, name types.NamespacedName) (time.Duration, error) {
	isvc, err := s.get(ctx, serviceKind, name)
	if err != nil || isvc == nil {
		return 0, err
	}
	if isvc.GetDeletionTimestamp() != nil {
		return 0, s.remove(ctx, isvc)
	}
	if changed, err := s.admit(ctx, isvc); err != nil || changed {
		return 0, err
	}
	if controllerutil.AddFinalizer(isvc, finalizer) {
		return 0, s.client.Update(ctx, isvc)
	}
	if wait := s.due(isvc); wait > 0 {
		return wait, nil
	}
	main, canaries := predictorsOf(isvc)
	s.judge(isvc, main, canaries)
	st := statusOf(isvc)
	mode := s.mode(isvc, st)
	st["deploymentMode"] = mode
	if st["conditions"] == nil {
		st.sum("PredictorReady", "IngressReady")
	}
	if isvc.GetAnnotations()["serving.kserve.io/stop"] == "true" {
		return 0, s.write(ctx, isvc, stoppedStatus(st))
	}
	if main.missing() {
		model := st.at("modelStatus")
		model["transitionStatus"] = "InvalidSpec"
		model["lastFailureInfo"] = map[string]any{"reason": "RuntimeNotRecognized", "message": "Waiting for runtime to become available"}
		states(model, "FailedToLoad")
		return 0, s.write(ctx, isvc, st)
	}
	play := s.standard
	if mode == "Knative" {
		play = s.serverless
	}
	again, err := play(ctx, isvc, st, main, canaries)
	if err != nil {
		return 0, err
	}
	st.mark(condition{name: "Stopped", value: "False", severity: "Info"})
	st.sum("PredictorReady", "IngressReady")
	return again, s.write(ctx, isvc, st)
}

// remove lets an InferenceService go, and its Knative Service with it: the garbage collector, which
// takes everything else, needs half a minute to learn of kinds that are new.
func (s *StandIn) remove(ctx context.Context, isvc *unstructured.Unstructured) error {
	if s.options.Knative {
		main, _ := predictorsOf(isvc)
		ksvc := objectOf(knativeKind)
		ksvc.SetNamespace(isvc.GetNamespace())
		ksvc.SetName(child(isvc.GetName(), main))
		if err := client.IgnoreNotFound(s.client.Delete(ctx, ksvc)); err != nil {
			return err
		}
		err := s.client.DeleteAllOf(ctx, &appsv1.Deployment{}, client.InNamespace(isvc.GetNamespace()), client.MatchingLabels{serviceLabel: ksvc.GetName()},
			client.PropagationPolicy(metav1.DeletePropagationBackground))
		if err != nil {
			return err
		}
	}
	controllerutil.RemoveFinalizer(isvc, finalizer)
	return s.client.Update(ctx, isvc)
}

// mode is the one in the status, which does not change, then that of the annotation, then the
// default.
func (s *StandIn) mode(isvc *unstructured.Unstructured, st status) string {
	if was, _ := st["deploymentMode"].(string); was != "" {
		return was
	}
	switch mode := isvc.GetAnnotations()[modeAnnotation]; mode {
	case "Standard", "Knative":
		return mode
	}
	if s.options.Knative {
		return "Knative"
	}
	return "Standard"
}

// stoppedStatus forgets everything else.
func stoppedStatus(before status) status {
	st := status{"deploymentMode": before["deploymentMode"]}
	st.mark(condition{name: "PredictorReady", value: "False", reason: "Stopped"})
	st.mark(condition{name: "IngressReady", value: "False", reason: "Stopped"})
	st.mark(condition{name: "Stopped", value: "True", severity: "Info"})
	st.sum("PredictorReady", "IngressReady")
	return st
}

// states notes the state that the model is to get to.
func states(model map[string]any, target string) {
	states := status(model).at("states")
	states["targetModelState"] = target
	if states["activeModelState"] == nil {
		states["activeModelState"] = ""
	}
	if target == "Loaded" {
		states["activeModelState"] = "Loaded"
	}
}

// transition notes how far the model is.
func transition(st status, l loading, target string) {
	model := st.at("modelStatus")
	copies := map[string]any{"failedCopies": int64(0)}
	if l.ready > 0 {
		copies["totalCopies"] = int64(l.ready)
	}
	model["copies"] = copies
	states(model, target)
	switch target {
	case "Loaded":
		model["transitionStatus"] = "UpToDate"
	case "FailedToLoad":
		model["transitionStatus"] = "BlockedByFailedLoad"
		if l.failed != "" {
			model["lastFailureInfo"] = map[string]any{"reason": "ModelLoadFailed", "message": l.failed, "exitCode": int64(1)}
		}
	default:
		model["transitionStatus"] = "InProgress"
	}
}

func host(name, namespace string) string {
	return fmt.Sprintf("http://%s-%s.example.com", name, namespace)
}

func inside(name, namespace string) string {
	return fmt.Sprintf("http://%s.%s.svc.cluster.local", name, namespace)
}
