package health

import "github.com/sluice-dev/sluice/agent"

// featureStore names the condition at fault, of which the one called FeatureStore is the sum.
func featureStore(o object) agent.Health {
	switch o.text("status", "phase") {
	case "Ready":
		return healthy
	case "Failed":
		return degraded("%s", featureStoreFault(o))
	}
	return progressing("%s", featureStoreFault(o))
}

func featureStoreFault(o object) condition {
	sum := o.condition("FeatureStore")
	for c := range o.conditions() {
		if !c.True() && c.Type != sum.Type {
			return c
		}
	}
	return sum
}
