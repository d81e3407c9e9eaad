package health

import (
	"fmt"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-dev/sluice/agent"
)

// Of says how a live object is doing. It never panics, however malformed the object is;
// nil is Missing.
func Of(obj *unstructured.Unstructured) agent.Health {
	if obj == nil || obj.Object == nil {
		return agent.Health{Status: agent.Missing, Message: "it is not in the cluster"}
	}
	h := judge(obj)
	h.Message = sentence(h.Message)
	if h.Message == "" && h.Status != agent.Healthy {
		h.Message = silent
	}
	return h
}

// silent is the message where the object gives none.
const silent = "its status does not say why"

func judge(obj *unstructured.Unstructured) agent.Health {
	o := object(obj.Object)
	if o.deleting() {
		return terminating(o)
	}
	gk := obj.GroupVersionKind().GroupKind()
	if Static(gk) {
		return healthy
	}
	if check := checkOf(gk); check != nil {
		return check(o)
	}
	return standard(obj)
}

// standard judges by the kstatus conventions: observedGeneration and the conditions
// Reconciling, Stalled and Ready. An object without any of these is healthy.
func standard(obj *unstructured.Unstructured) agent.Health {
	result, err := status.Compute(obj)
	if err != nil {
		// The status does not have the shape of the conventions, so they say nothing about
		// it, as if it were not there. To call it unhealthy would block its overlay for ever.
		return healthy
	}
	switch result.Status {
	case status.CurrentStatus:
		return healthy
	case status.FailedStatus:
		return degraded("%s", explain(result))
	default:
		return progressing("%s", explain(result))
	}
}

func explain(result *status.Result) string {
	if len(result.Conditions) == 0 {
		return result.Message
	}
	return because(result.Conditions[0].Reason, result.Message)
}

// terminating names what holds the deletion up, as far as the object knows.
func terminating(o object) agent.Health {
	for c := range o.conditions() {
		if c.True() && strings.HasPrefix(c.Type, "Namespace") {
			return agent.Health{Status: agent.Terminating, Message: "it is being deleted: " + because(c.Reason, c.Message)}
		}
	}
	if names := o.finalizers(); len(names) > 0 {
		return agent.Health{Status: agent.Terminating, Message: "it is being deleted and waits for " + strings.Join(names, ", ")}
	}
	return agent.Health{Status: agent.Terminating, Message: "it is being deleted"}
}

var healthy = agent.Health{Status: agent.Healthy}

func progressing(format string, args ...any) agent.Health {
	return agent.Health{Status: agent.Progressing, Message: fmt.Sprintf(format, args...)}
}

func degraded(format string, args ...any) agent.Health {
	return agent.Health{Status: agent.Degraded, Message: fmt.Sprintf(format, args...)}
}

func suspended(format string, args ...any) agent.Health {
	return agent.Health{Status: agent.Suspended, Message: fmt.Sprintf(format, args...)}
}

// because joins a reason and a message of which either may be empty.
func because(reason, message string) string {
	switch {
	case reason == "":
		return message
	case message == "":
		return reason
	default:
		return reason + ": " + message
	}
}

// longest is how much of a message is kept, in bytes. Controllers quote whole logs.
const longest = 500

// sentence puts a message on one line and bounds it.
func sentence(message string) string {
	message = strings.Join(strings.Fields(message), " ")
	if len(message) <= longest {
		return message
	}
	return strings.ToValidUTF8(message[:longest], "") + "…"
}
