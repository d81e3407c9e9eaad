package agent

// Health says how an object of the cluster is doing.
type Health struct {
	Status  HealthStatus
	Message string // one sentence for people; empty when healthy
}

// HealthStatus is the verdict of a health check.
type HealthStatus string

const (
	// Healthy: the object is what its spec asks for, observed and rolled out.
	Healthy HealthStatus = "Healthy"
	// Progressing: its controller is at work, or has not looked yet.
	Progressing HealthStatus = "Progressing"
	// Degraded: its controller says that it failed, or cannot go on by itself.
	Degraded HealthStatus = "Degraded"
	// Suspended: somebody paused it on purpose; it counts as healthy.
	Suspended HealthStatus = "Suspended"
	// Terminating: it is being deleted.
	Terminating HealthStatus = "Terminating"
	// Missing: it is not in the cluster.
	Missing HealthStatus = "Missing"
)

// OK tells whether nothing needs to be waited for.
func (h Health) OK() bool { return h.Status == Healthy || h.Status == Suspended }
