package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/serving"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// abilities remembers what the cluster can do for models.
type abilities struct {
	mu    sync.Mutex
	known *serving.Abilities
	at    time.Time

	// config is what KServe's settings were when they were seen last.
	config   map[string]string
	configAt time.Time
}

// abilitiesFor is how long what was found counts though no CRD changed: KServe's settings are not
// watched.
const abilitiesFor = 10 * time.Minute

// servingGroups are the API groups whose CRDs say what the cluster can do for models.
var servingGroups = map[string]bool{"serving.kserve.io": true, "serving.knative.dev": true, "gateway.networking.k8s.io": true}

// change forgets what was found if it may depend on a group, and tells whether it may.
func (a *abilities) change(group string) bool {
	if !servingGroups[group] {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known = nil
	return true
}

var definitionOfInferenceServices = agent.Ref{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition", Name: "inferenceservices.serving.kserve.io"}

// namespacesOfKServe are where KServe's own manifests and those of Kubeflow put it.
var namespacesOfKServe = []string{"kserve", "kubeflow"}

// Abilities finds out, as the agent's own account, what the cluster can do for models. It asks
// once, and again when a CRD that matters has changed.
func (c *Cluster) Abilities(ctx context.Context) (serving.Abilities, error) {
	c.abilities.mu.Lock()
	defer c.abilities.mu.Unlock()
	if known := c.abilities.known; known != nil && time.Since(c.abilities.at) < abilitiesFor {
		return *known, nil
	}
	session, err := c.As(Account{})
	if err != nil {
		return serving.Abilities{}, err
	}
	found := serving.Found{}
	for kind, is := range map[schema.GroupKind]*bool{
		{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute"}: &found.HTTPRoutes,
		{Group: "serving.kserve.io", Kind: "InferenceGraph"}:    &found.InferenceGraphs,
		{Group: "serving.knative.dev", Kind: "Service"}:         &found.KnativeServices,
	} {
		switch _, err := c.kinds.find(kind, ""); {
		case err == nil:
			*is = true
		case !meta.IsNoMatchError(err):
			return serving.Abilities{}, fmt.Errorf("whether there is a kind %s is not known: %w", kind, err)
		}
	}
	definition, err := session.Get(ctx, definitionOfInferenceServices, "v1")
	if err != nil {
		return serving.Abilities{}, err
	}
	if definition != nil {
		found.Definition = definition.Object
		if found.Config, err = settings(ctx, session); err != nil {
			return serving.Abilities{}, err
		}
		found.Config = c.abilities.lasting(found.Config, time.Now())
	}
	can := serving.AbilitiesOf(found)
	c.abilities.known, c.abilities.at = &can, time.Now()
	return can, nil
}

// lasting is what KServe's settings are. Those that are gone count for a while: an upgrade may delete
// and make them again, and with none models would be served in another way meanwhile.
func (a *abilities) lasting(config map[string]string, now time.Time) map[string]string {
	switch {
	case config != nil:
		a.config, a.configAt = config, now
	case now.Sub(a.configAt) < abilitiesFor:
		return a.config
	}
	return config
}

// settings reads KServe's ConfigMap. Where it is not there or must not be read, KServe's defaults
// count; any other error is one, for with other settings models would be served in another way.
func settings(ctx context.Context, session *Session) (map[string]string, error) {
	for _, namespace := range namespacesOfKServe {
		found, err := session.Get(ctx, agent.Ref{Kind: "ConfigMap", Namespace: namespace, Name: "inferenceservice-config"}, "v1")
		switch {
		case ClassOf(err) == agent.Forbidden:
		case err != nil:
			return nil, err
		case found != nil:
			return textsOf(found.Object["data"]), nil
		}
	}
	return nil, nil
}

func textsOf(data any) map[string]string {
	texts := map[string]string{}
	fields, _ := data.(map[string]any)
	for key, value := range fields {
		if text, is := value.(string); is {
			texts[key] = text
		}
	}
	return texts
}
