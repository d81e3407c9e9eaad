package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Request is one call to the API server by a client that is no part of the control plane.
type Request struct {
	User      string // who asked
	As        string // who was impersonated, if anyone
	Agent     string // the client's user agent
	Verb      string // get, list, watch, create, update, patch, delete, deletecollection
	Group     string // of the API
	Resource  string // plural, with the subresource: "deployments/status"; empty for other paths
	Namespace string
	Name      string
	URI       string // path and query, field manager and selectors among them
	DryRun    bool
	Code      int // HTTP status; 0 for a stream that is open

	Received time.Time // by the API server, on this machine's clock
	Answered time.Time // zero for a stream that is open
}

// Requests are calls in the order the API server received them.
type Requests []Request

// Requests returns all calls made since the cluster was started, the control plane's own
// left out. It is exact for every call that has been answered: see the package's
// documentation.
func (c *Cluster) Requests(ctx context.Context) (Requests, error) { return c.audit.read(ctx) }

// Since returns the calls that are not in an earlier snapshot of the same cluster.
func (r Requests) Since(earlier Requests) Requests { return r[len(earlier):] }

// By returns the calls of clients whose user agent begins with agent.
func (r Requests) By(agent string) Requests {
	return r.where(func(q Request) bool { return strings.HasPrefix(q.Agent, agent) })
}

// Of returns the calls about the given resources: "configmaps", "deployments.apps",
// "deployments.apps/status".
func (r Requests) Of(resources ...string) Requests {
	return r.where(func(q Request) bool { return slices.Contains(resources, q.Target()) })
}

// Without returns the calls that are not about the given resources, such as
// "leases.coordination.k8s.io" and "events".
func (r Requests) Without(resources ...string) Requests {
	return r.where(func(q Request) bool { return !slices.Contains(resources, q.Target()) })
}

// Writes returns the calls that ask for a change of the cluster.
func (r Requests) Writes() Requests {
	return r.where(func(q Request) bool { return q.mutates() && !q.DryRun })
}

// DryRuns returns the calls that ask what a change would do.
func (r Requests) DryRuns() Requests {
	return r.where(func(q Request) bool { return q.mutates() && q.DryRun })
}

// Reads returns the calls that ask for objects or for what kinds there are, watches included.
func (r Requests) Reads() Requests {
	return r.where(func(q Request) bool { return !q.mutates() })
}

// Verb returns the calls with one of the verbs.
func (r Requests) Verb(verbs ...string) Requests {
	return r.where(func(q Request) bool { return slices.Contains(verbs, q.Verb) })
}

func (r Requests) where(keep func(Request) bool) Requests {
	kept := Requests{}
	for _, request := range r {
		if keep(request) {
			kept = append(kept, request)
		}
	}
	return kept
}

// Target is what the call is about: the resource and its group, or the path of a call that
// is about no resource.
func (q Request) Target() string {
	if q.Resource == "" {
		path, _, _ := strings.Cut(q.URI, "?")
		return path
	}
	resource, subresource, nested := strings.Cut(q.Resource, "/")
	if q.Group != "" {
		resource += "." + q.Group
	}
	if nested {
		resource += "/" + subresource
	}
	return resource
}

// String is the call in a line: "patch configmaps default/a (dry run) 200".
func (q Request) String() string {
	line := q.Verb + " " + q.Target()
	switch {
	case q.Namespace != "" && q.Name != "":
		line += " " + q.Namespace + "/" + q.Name
	case q.Namespace+q.Name != "":
		line += " " + q.Namespace + q.Name
	}
	if q.DryRun {
		line += " (dry run)"
	}
	if q.Code != 0 {
		line += fmt.Sprintf(" %d", q.Code)
	}
	return line
}

// String lists the calls, one a line: what a failing test should print.
func (r Requests) String() string {
	var lines strings.Builder
	for _, request := range r {
		fmt.Fprintln(&lines, request)
	}
	return lines.String()
}

// mutates leaves out the creates that store nothing: questions about access, and tokens.
func (q Request) mutates() bool {
	switch q.Verb {
	case "create", "update", "patch", "delete", "deletecollection":
	default:
		return false
	}
	switch {
	case q.Resource == "": // a POST to a path that is no resource
		return false
	case q.Group == "authorization.k8s.io", q.Group == "authentication.k8s.io", q.Resource == "serviceaccounts/token":
		return false
	}
	return true
}
