package health

import "github.com/sluice-dev/sluice/agent"

// certificate is Degraded when an issuance failed, as the next attempt is an hour away. One
// that is still valid stays healthy while its renewal is tried.
func certificate(o object) agent.Health {
	ready, issuing := o.condition("Ready"), o.condition("Issuing")
	switch {
	case !o.fresh(ready):
		return o.unobserved()
	case ready.True():
		return healthy
	case issuing.False() && o.fresh(issuing):
		return degraded("%s", issuing)
	case issuing.True():
		return progressing("%s", issuing)
	}
	return progressing("%s", ready)
}

func certificateRequest(o object) agent.Health {
	for _, name := range []string{"Denied", "InvalidRequest"} {
		if c := o.condition(name); c.True() {
			return degraded("%s", c)
		}
	}
	ready := o.condition("Ready")
	switch {
	case ready.True():
		return healthy
	case ready.False() && (ready.Reason == "Failed" || ready.Reason == "Denied"):
		return degraded("%s", ready)
	}
	return progressing("%s", ready)
}

// issuer also serves ClusterIssuers. One whose CA is not there yet is Progressing: the
// Certificate that makes the CA usually comes with the same commit.
func issuer(o object) agent.Health {
	ready := o.condition("Ready")
	if ready.Reason == "ErrGetKeyPair" {
		return progressing("%s", ready)
	}
	return accepted(o, ready)
}
