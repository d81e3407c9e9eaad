package record

import (
	"strings"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/record"
)

// maxEvent is how long the message of an event may be; the API server refuses more than 1,024.
const maxEvent = 1000

// Events writes Kubernetes events. Their metadata is that of Flux's events, under the group
// sluice.dev, so that what forwards those can forward these.
type Events struct {
	Recorder record.EventRecorder
}

// Normal tells of something that went well.
func (e Events) Normal(object runtime.Object, revision, reason, message string) {
	e.emit(object, "Normal", revision, reason, message)
}

// Warning tells of something that did not.
func (e Events) Warning(object runtime.Object, revision, reason, message string) {
	e.emit(object, "Warning", revision, reason, message)
}

func (e Events) emit(object runtime.Object, severity, revision, reason, message string) {
	if len(message) > maxEvent {
		message = strings.ToValidUTF8(message[:maxEvent], "") + "…"
	}
	annotations := map[string]string{}
	if revision != "" {
		annotations[v1alpha1.GroupVersion.Group+"/"+eventv1.MetaRevisionKey] = revision
	}
	e.Recorder.AnnotatedEventf(object, annotations, severity, reason, "%s", message)
}
