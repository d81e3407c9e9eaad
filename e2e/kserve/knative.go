package kserve

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	revisionLabel  = "serving.knative.dev/revision"
	serviceLabel   = "serving.knative.dev/service"
	templateDigest = "kserve.test/template" // on a revision: what it was made of
	everReady      = "kserve.test/ready"    // on a revision: it was ready once
	asked          = "kserve.test/asked"    // on a revision: when it last had traffic
)

// playKnative is Knative Serving: a Deployment for each revision. A template that is new is first
// only noted: the configuration is out of date, and the newest revision still the one before.
func (s *StandIn) playKnative(ctx context.Context, name types.NamespacedName) (time.Duration, error) {
	ksvc, err := s.get(ctx, knativeKind, name)
	if err != nil || ksvc == nil || ksvc.GetDeletionTimestamp() != nil {
		return 0, err
	}
	wait := s.due(ksvc)
	st := statusOf(ksvc)
	revisions, err := s.revisions(ctx, ksvc)
	if err != nil {
		return 0, err
	}
	made := digest(ksvc)
	st["observedGeneration"] = ksvc.GetGeneration()
	st["url"] = host(ksvc.GetName(), ksvc.GetNamespace())
	if len(revisions) == 0 || revisions[len(revisions)-1].Annotations[templateDigest] != made {
		if wait > 0 {
			st.mark(condition{name: "ConfigurationsReady", value: "Unknown", reason: "OutOfDate", message: "The Configuration is still working to reflect the latest desired specification."})
			st.sum("ConfigurationsReady", "RoutesReady")
			return wait, s.write(ctx, ksvc, st)
		}
		revision, err := s.revise(ctx, ksvc, len(revisions)+1, made)
		if err != nil {
			return 0, err
		}
		revisions = append(revisions, *revision)
	}
	if err := s.configured(ctx, ksvc, st, revisions); err != nil {
		return 0, err
	}
	s.routed(ksvc, st, revisions)
	st.sum("ConfigurationsReady", "RoutesReady")
	again, err := s.scale(ctx, st, revisions)
	if err != nil {
		return 0, err
	}
	if again == 0 && st.condition("ConfigurationsReady").value != "True" {
		again = lookAgain
	}
	return again, s.write(ctx, ksvc, st)
}

// digest is that of a Knative Service's template.
func digest(ksvc *unstructured.Unstructured) string {
	template, _, _ := unstructured.NestedMap(ksvc.Object, "spec", "template")
	text, _ := json.Marshal(template) // it came as JSON
	return fmt.Sprintf("%x", sha256.Sum256(text))[:16]
}

// revisions are those of a Knative Service, oldest first.
func (s *StandIn) revisions(ctx context.Context, ksvc *unstructured.Unstructured) ([]appsv1.Deployment, error) {
	var all appsv1.DeploymentList
	err := s.client.List(ctx, &all, client.InNamespace(ksvc.GetNamespace()), client.MatchingLabels{serviceLabel: ksvc.GetName()})
	all.Items = slices.DeleteFunc(all.Items, func(d appsv1.Deployment) bool { return !metav1.IsControlledBy(&d, ksvc) })
	slices.SortFunc(all.Items, func(a, b appsv1.Deployment) int { return cmp.Compare(a.Name, b.Name) })
	return all.Items, err
}

// revise makes a revision of the present template.
func (s *StandIn) revise(ctx context.Context, ksvc *unstructured.Unstructured, number int, made string) (*appsv1.Deployment, error) {
	revision := fmt.Sprintf("%s-%05d", ksvc.GetName(), number)
	labels, _, _ := unstructured.NestedStringMap(ksvc.Object, "spec", "template", "metadata", "labels")
	annotations, _, _ := unstructured.NestedStringMap(ksvc.Object, "spec", "template", "metadata", "annotations")
	labels = merged(labels, map[string]string{revisionLabel: revision, serviceLabel: ksvc.GetName()})
	d := s.workload(ksvc.GetNamespace(), revision+"-deployment", 1, labels, annotations, predictor{uri: annotations[sourceAnnotation]})
	d.Labels["app"], d.Spec.Template.Labels["app"] = revision, revision
	d.Spec.Selector.MatchLabels = map[string]string{revisionLabel: revision}
	d.Annotations = merged(d.Annotations, map[string]string{templateDigest: made, asked: time.Now().Format(time.RFC3339Nano)})
	return s.deploy(ctx, ksvc, d)
}

func revisionOf(d appsv1.Deployment) string { return d.Labels[revisionLabel] }

// configured notes the newest revision, and the newest that was ready once.
func (s *StandIn) configured(ctx context.Context, ksvc *unstructured.Unstructured, st status, revisions []appsv1.Deployment) error {
	newest := &revisions[len(revisions)-1]
	if newest.Annotations[everReady] == "" && newest.Status.AvailableReplicas > 0 {
		newest.Annotations[everReady] = "true"
		if err := s.client.Update(ctx, newest); err != nil {
			return err
		}
	}
	name := revisionOf(*newest)
	st["latestCreatedRevisionName"] = name
	if newest.Annotations[everReady] != "" {
		st["latestReadyRevisionName"] = name
		st.mark(condition{name: "ConfigurationsReady", value: "True"})
		return nil
	}
	l, err := s.loading(ctx, ksvc.GetNamespace(), client.MatchingLabels{revisionLabel: name})
	if err != nil {
		return err
	}
	c := condition{name: "ConfigurationsReady", value: "Unknown", reason: "Deploying", message: "Revision " + name + " is not ready"}
	if l.failed != "" {
		c = condition{name: "ConfigurationsReady", value: "False", reason: "RevisionFailed", message: fmt.Sprintf("Revision %q failed with message: Container failed with: %s.", name, l.failed)}
	}
	st.mark(c)
	return nil
}

// routed notes where the traffic goes.
func (s *StandIn) routed(ksvc *unstructured.Unstructured, st status, revisions []appsv1.Deployment) {
	latest, _ := st["latestReadyRevisionName"].(string)
	if latest == "" {
		st.mark(condition{name: "RoutesReady", value: "Unknown", reason: "RevisionMissing", message: "Configuration does not have any ready Revision."})
		return
	}
	artifacts := map[string]string{}
	for _, d := range revisions {
		artifacts[revisionOf(d)] = d.Spec.Template.Annotations[sourceAnnotation]
	}
	targets, _, _ := unstructured.NestedSlice(ksvc.Object, "spec", "traffic")
	var backends []backend
	for _, target := range targets {
		target := target.(map[string]any)
		if target["latestRevision"] == true {
			target["revisionName"] = latest
		}
		revision, _ := target["revisionName"].(string)
		percent, _ := target["percent"].(int64)
		backends = append(backends, backend{uri: artifacts[revision], weight: int32(percent)})
	}
	st["traffic"] = targets
	st.mark(condition{name: "RoutesReady", value: "True"})
	s.flow(types.NamespacedName{Namespace: ksvc.GetNamespace(), Name: strings.TrimSuffix(ksvc.GetName(), "-predictor")}, division(backends))
}

// scale takes the pods of revisions that nobody asks. With traffic, one keeps them unless it
// may have none: nobody ever asks here.
func (s *StandIn) scale(ctx context.Context, st status, revisions []appsv1.Deployment) (time.Duration, error) {
	if s.options.Idle == 0 {
		return 0, nil
	}
	served := map[string]bool{}
	targets, _ := st["traffic"].([]any)
	for _, target := range targets {
		target, _ := target.(map[string]any)
		percent, _ := target["percent"].(int64)
		name, _ := target["revisionName"].(string)
		served[name] = served[name] || percent > 0
	}
	var again time.Duration
	for n := range revisions {
		d := &revisions[n]
		replicas := int32(1)
		began, _ := time.Parse(time.RFC3339Nano, d.Annotations[asked])
		idle := d.Annotations[everReady] != "" && (!served[revisionOf(*d)] || d.Spec.Template.Annotations["autoscaling.knative.dev/min-scale"] == "0")
		if rest := s.options.Idle - time.Since(began); idle && rest <= 0 {
			replicas = 0
		} else if idle {
			again = max(again, rest)
		}
		if *d.Spec.Replicas != replicas {
			d.Spec.Replicas = &replicas
			if err := s.client.Update(ctx, d); err != nil {
				return 0, err
			}
		}
	}
	return again, nil
}
