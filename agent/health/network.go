package health

import "github.com/sluice-dev/sluice/agent"

// service waits for the address of a load balancer, and for nothing else.
func service(o object) agent.Health {
	if o.text("spec", "type") != "LoadBalancer" {
		return healthy
	}
	for range o.list("status", "loadBalancer", "ingress") {
		return healthy
	}
	return progressing("it waits for the address of its load balancer")
}

func gatewayClass(o object) agent.Health {
	return accepted(o, o.condition("Accepted"))
}

// gateway is healthy once the data plane was programmed, not when it was merely accepted.
func gateway(o object) agent.Health {
	if c := o.condition("Accepted"); !c.True() || !o.fresh(c) {
		return accepted(o, c)
	}
	c := o.condition("Programmed")
	if !c.True() || !o.fresh(c) {
		return progressing("%s", c)
	}
	return healthy
}

// route judges HTTPRoutes and GRPCRoutes: every parent has to accept the route and to find
// its backends.
func route(o object) agent.Health {
	seen := false
	for parent := range o.list("status", "parents") {
		seen = true
		for item := range parent.list("conditions") {
			c := conditionFrom(item)
			if c.Type != "Accepted" && c.Type != "ResolvedRefs" {
				continue
			}
			if h := accepted(o, c); !h.OK() {
				h.Message = "gateway " + parent.text("parentRef", "name") + ": " + h.Message
				return h
			}
		}
	}
	if !seen {
		return progressing("no gateway has taken it up yet")
	}
	return healthy
}

// accepted judges a condition whose False is final.
func accepted(o object, c condition) agent.Health {
	switch {
	case !o.fresh(c):
		return o.unobserved()
	case c.True():
		return healthy
	case c.False():
		return degraded("%s", c)
	}
	return progressing("%s", c)
}
