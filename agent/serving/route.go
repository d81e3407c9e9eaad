package serving

import (
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// portion is the part of the traffic that a version has, in percent.
type portion struct {
	version Version
	percent int32
}

// portions divide the traffic. Versions without any are left out.
func portions(w Want) []portion {
	main := w.main()
	switch {
	case main == nil:
		return nil
	case w.Stable == nil || w.Candidate == nil || w.Traffic == 0 || w.Traffic == 100:
		return []portion{{*main, 100}}
	}
	return []portion{{*w.Stable, 100 - w.Traffic}, {*w.Candidate, w.Traffic}}
}

const gatewayGroup = "gateway.networking.k8s.io"

func routeRef(w Want) agent.Ref {
	return agent.Ref{Group: gatewayGroup, Kind: "HTTPRoute", Namespace: w.Namespace, Name: w.Model}
}

// route divides the traffic that comes through a Gateway among Services.
type route struct {
	gateway v1alpha1.GatewayReference
	// backend is the name of the Service of a version, and port that of all.
	backend func(Want, Version) string
	port    int32
}

func (r route) manifest(w Want) map[string]any {
	var backends []any
	for _, p := range portions(w) {
		backends = append(backends, map[string]any{
			"group": "", "kind": "Service", "name": r.backend(w, p.version), "port": int64(r.port), "weight": int64(p.percent),
		})
	}
	spec := map[string]any{
		"parentRefs": []any{map[string]any{
			"group": gatewayGroup, "kind": "Gateway", "name": r.gateway.Name, "namespace": or(r.gateway.Namespace, w.Namespace),
		}},
		"rules": []any{map[string]any{
			"matches":     []any{map[string]any{"path": map[string]any{"type": "PathPrefix", "value": or(r.gateway.Path, "/")}}},
			"backendRefs": backends,
		}},
	}
	if hosts := r.hosts(w); len(hosts) > 0 {
		spec["hostnames"] = hosts
	}
	return map[string]any{
		"apiVersion": gatewayGroup + "/v1", "kind": "HTTPRoute",
		"metadata": map[string]any{"name": w.Model, "namespace": w.Namespace, "labels": labelsOf(w, "")},
		"spec":     spec,
	}
}

func (r route) hosts(w Want) []any {
	fill := strings.NewReplacer("${stage}", w.Stage, "${model}", w.Model)
	var hosts []any
	for _, host := range r.gateway.Hostnames {
		hosts = append(hosts, fill.Replace(host))
	}
	return hosts
}

// url is where the route is reached, as far as that is known without the Gateway's listeners.
func (r route) url(w Want) string {
	for _, host := range r.hosts(w) {
		if host, _ := host.(string); !strings.HasPrefix(host, "*") {
			return "http://" + host + strings.TrimSuffix(r.gateway.Path, "/")
		}
	}
	return ""
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// share is the percentage of the traffic that a route gives to a Service. It counts once all
// gateways have taken this very route; the message says why it does not.
func share(live map[string]any, ref agent.Ref, service string) (percent int32, message string) {
	if live == nil {
		return 0, ref.String() + " is not there yet, so that nothing is known of the traffic"
	}
	if h := healthOf(live); !h.OK() {
		return 0, sentence(ref.String() + ": " + h.Message)
	}
	rules := list(live, "spec", "rules")
	if len(rules) == 0 {
		return 0, ref.String() + " has no rules"
	}
	var own, all int64
	for _, backend := range list(rules[0], "backendRefs") {
		weight := int64(1)
		if backend["weight"] != nil {
			weight = max(0, number(backend, "weight"))
		}
		all += weight
		if text(backend, "name") == service {
			own += weight
		}
	}
	if all == 0 {
		return 0, ""
	}
	return int32((own*100 + all/2) / all), ""
}
