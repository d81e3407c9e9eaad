package kserve

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// backend is a Service with a part of the traffic.
type backend struct {
	service, uri string
	weight       int32
}

// ingress is the way to an InferenceService in Standard mode: HTTPRoutes, in which canaries have
// their weights once they are ready, or nothing that is looked at.
func (s *StandIn) ingress(ctx context.Context, isvc *unstructured.Unstructured, st status, main predictor, canaries []canary) (time.Duration, error) {
	name, namespace := isvc.GetName(), isvc.GetNamespace()
	st["url"] = host(name, namespace)
	st["address"] = map[string]any{"url": inside(child(name, main), namespace)}
	if !s.options.Gateway {
		st.mark(condition{name: "IngressReady", value: "True"})
		return 0, nil
	}
	if st.condition("PredictorReady").value != "True" {
		st.mark(condition{name: "IngressReady", value: "False", reason: "Predictor ingress not created"})
		return 0, nil
	}
	rest := int32(100)
	var backends []backend
	for _, c := range canaries {
		if readyCanary(st, c.name) {
			rest -= int32(c.percent)
			backends = append(backends, backend{child(name, c.predictor), c.uri, int32(c.percent)})
		}
	}
	backends = append([]backend{{child(name, main), main.uri, rest}}, backends...)
	s.flow(client.ObjectKeyFromObject(isvc), division(backends))
	for _, route := range []string{name + "-predictor", name} {
		live, err := s.route(ctx, isvc, route, backends)
		if err != nil {
			return 0, err
		}
		if !accepted(live) {
			st.mark(condition{name: "IngressReady", value: "False", reason: "HTTPRouteNotReady", message: "Predictor HTTPRoute not ready"})
			return 100 * time.Millisecond, nil
		}
	}
	st.mark(condition{name: "IngressReady", value: "True"})
	return 0, nil
}

func division(backends []backend) string {
	var parts []string
	for _, b := range backends {
		if b.weight > 0 {
			parts = append(parts, fmt.Sprintf("%s=%d", b.uri, b.weight))
		}
	}
	return strings.Join(parts, " ")
}

// route creates or changes an HTTPRoute.
func (s *StandIn) route(ctx context.Context, isvc *unstructured.Unstructured, name string, backends []backend) (*gatewayv1.HTTPRoute, error) {
	gateway, port := gatewayv1.Namespace("kserve"), gatewayv1.PortNumber(80)
	var refs []gatewayv1.HTTPBackendRef
	for _, b := range backends {
		weight := b.weight
		refs = append(refs, gatewayv1.HTTPBackendRef{BackendRef: gatewayv1.BackendRef{
			BackendObjectReference: gatewayv1.BackendObjectReference{Name: gatewayv1.ObjectName(b.service), Port: &port}, Weight: &weight,
		}})
	}
	wanted := &gatewayv1.HTTPRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: isvc.GetNamespace(), Name: name},
		Spec: gatewayv1.HTTPRouteSpec{
			CommonRouteSpec: gatewayv1.CommonRouteSpec{ParentRefs: []gatewayv1.ParentReference{{Namespace: &gateway, Name: "kserve-ingress-gateway"}}},
			Hostnames:       []gatewayv1.Hostname{gatewayv1.Hostname(strings.TrimPrefix(host(name, isvc.GetNamespace()), "http://"))},
			Rules:           []gatewayv1.HTTPRouteRule{{BackendRefs: refs}},
		},
	}
	if err := controllerutil.SetControllerReference(isvc, wanted, scheme()); err != nil {
		return nil, err
	}
	var live gatewayv1.HTTPRoute
	err := s.client.Get(ctx, client.ObjectKeyFromObject(wanted), &live)
	if apierrors.IsNotFound(err) {
		return wanted, s.client.Create(ctx, wanted)
	}
	if err != nil || weights(&live) == weights(wanted) {
		return &live, err
	}
	live.Spec.Rules[0].BackendRefs = refs
	return &live, s.client.Update(ctx, &live)
}

func weights(r *gatewayv1.HTTPRoute) string {
	var parts []string
	for _, rule := range r.Spec.Rules {
		for _, b := range rule.BackendRefs {
			parts = append(parts, fmt.Sprintf("%s=%d", b.Name, *b.Weight))
		}
	}
	return strings.Join(parts, " ")
}

// accepted tells whether no gateway has anything against a route, as KServe looks at it: whatever
// generation the gateway has seen.
func accepted(r *gatewayv1.HTTPRoute) bool {
	for _, parent := range r.Status.Parents {
		for _, c := range parent.Conditions {
			if c.Status == metav1.ConditionFalse {
				return false
			}
		}
	}
	return len(r.Status.Parents) > 0
}

// playRoute is a gateway that takes all routes whose Services are there.
func (s *StandIn) playRoute(ctx context.Context, name types.NamespacedName) (time.Duration, error) {
	var r gatewayv1.HTTPRoute
	if err := s.client.Get(ctx, name, &r); err != nil {
		return 0, client.IgnoreNotFound(err)
	}
	if wait := s.due(&r); wait > 0 {
		return wait, nil
	}
	resolved := metav1.Condition{Type: "ResolvedRefs", Status: metav1.ConditionTrue, Reason: "ResolvedRefs", ObservedGeneration: r.Generation}
	var again time.Duration
	for _, rule := range r.Spec.Rules {
		for _, b := range rule.BackendRefs {
			err := s.client.Get(ctx, key(&r, string(b.Name)), &corev1.Service{})
			if apierrors.IsNotFound(err) {
				resolved.Status, resolved.Reason, resolved.Message = metav1.ConditionFalse, "BackendNotFound", "there is no Service "+string(b.Name)
				again = 100 * time.Millisecond
			} else if err != nil {
				return 0, err
			}
		}
	}
	before := r.DeepCopy()
	var parents []gatewayv1.RouteParentStatus
	for n, ref := range r.Spec.ParentRefs {
		now := metav1.Now()
		if n < len(before.Status.Parents) && len(before.Status.Parents[n].Conditions) > 0 {
			now = before.Status.Parents[n].Conditions[0].LastTransitionTime
		}
		resolved.LastTransitionTime = now
		taken := metav1.Condition{Type: "Accepted", Status: metav1.ConditionTrue, Reason: "Accepted", ObservedGeneration: r.Generation, LastTransitionTime: now}
		parents = append(parents, gatewayv1.RouteParentStatus{
			ParentRef: ref, ControllerName: "kserve.test/gateway", Conditions: []metav1.Condition{taken, resolved},
		})
	}
	r.Status.Parents = parents
	if reflect.DeepEqual(before.Status, r.Status) {
		return again, nil
	}
	return again, s.client.Status().Update(ctx, &r)
}
