package health

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-dev/sluice/agent"
)

// static lists the kinds without health of their own, by group. No kinds means all kinds of
// the group.
//
// Ingress is among them because its status holds an address and nothing else, and many
// controllers never publish one.
var static = map[string][]string{
	"":                                {"ConfigMap", "Endpoints", "Event", "LimitRange", "PodTemplate", "ResourceQuota", "Secret", "ServiceAccount"},
	"admissionregistration.k8s.io":    nil,
	"apps":                            {"ControllerRevision"},
	"argoproj.io":                     {"ClusterWorkflowTemplate", "WorkflowArtifactGCTask", "WorkflowEventBinding", "WorkflowTaskResult", "WorkflowTemplate"},
	"caching.internal.knative.dev":    nil,
	"coordination.k8s.io":             nil,
	"discovery.k8s.io":                nil,
	"events.k8s.io":                   nil,
	"extensions.istio.io":             nil,
	"flowcontrol.apiserver.k8s.io":    nil,
	"gateway.networking.k8s.io":       {"ReferenceGrant"},
	"kubeflow.org":                    {"PodDefault", "Viewer"},
	"metacontroller.k8s.io":           nil,
	"monitoring.coreos.com":           {"AlertmanagerConfig", "PodMonitor", "Probe", "PrometheusRule", "ScrapeConfig", "ServiceMonitor"},
	"networking.internal.knative.dev": {"ClusterDomainClaim"},
	"networking.istio.io":             nil,
	"networking.k8s.io":               {"Ingress", "IngressClass", "NetworkPolicy"},
	"node.k8s.io":                     nil,
	"pipelines.kubeflow.org":          nil,
	"rbac.authorization.k8s.io":       nil,
	"resource.k8s.io":                 {"DeviceClass", "ResourceClaimTemplate"},
	"scheduling.k8s.io":               nil,
	"security.istio.io":               nil,
	"serving.kserve.io":               {"ClusterServingRuntime", "ClusterStorageContainer", "LLMInferenceServiceConfig", "LocalModelNodeGroup", "ServingRuntime"},
	"storage.k8s.io":                  nil,
	"telemetry.istio.io":              nil,
	"trainer.kubeflow.org":            {"ClusterTrainingRuntime", "TrainingRuntime"},
}

// Static tells that objects of this kind have no health of their own: being there is being
// healthy, so metadata is enough to watch them.
func Static(gk schema.GroupKind) bool {
	kinds, ok := static[gk.Group]
	return ok && (len(kinds) == 0 || slices.Contains(kinds, gk.Kind))
}

// checks are the kinds that report their health in a way of their own.
var checks = map[schema.GroupKind]func(object) agent.Health{
	{Kind: "Namespace"}:             namespace,
	{Kind: "PersistentVolume"}:      persistentVolume,
	{Kind: "PersistentVolumeClaim"}: persistentVolumeClaim,
	{Kind: "Pod"}:                   pod,
	{Kind: "ReplicationController"}: replicaSet,
	{Kind: "Service"}:               service,

	{Group: "apps", Kind: "DaemonSet"}:   daemonSet,
	{Group: "apps", Kind: "Deployment"}:  deployment,
	{Group: "apps", Kind: "ReplicaSet"}:  replicaSet,
	{Group: "apps", Kind: "StatefulSet"}: statefulSet,

	{Group: "batch", Kind: "CronJob"}: cronJob,
	{Group: "batch", Kind: "Job"}:     job,

	{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}: customResourceDefinition,
	{Group: "apiregistration.k8s.io", Kind: "APIService"}:             apiService,
	{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}:           horizontalPodAutoscaler,
	{Group: "policy", Kind: "PodDisruptionBudget"}:                    podDisruptionBudget,

	{Group: "gateway.networking.k8s.io", Kind: "Gateway"}:      gateway,
	{Group: "gateway.networking.k8s.io", Kind: "GatewayClass"}: gatewayClass,
	{Group: "gateway.networking.k8s.io", Kind: "GRPCRoute"}:    route,
	{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute"}:    route,

	{Group: "cert-manager.io", Kind: "Certificate"}:        certificate,
	{Group: "cert-manager.io", Kind: "CertificateRequest"}: certificateRequest,
	{Group: "cert-manager.io", Kind: "ClusterIssuer"}:      issuer,
	{Group: "cert-manager.io", Kind: "Issuer"}:             issuer,

	{Group: "serving.kserve.io", Kind: "InferenceGraph"}:      inferenceGraph,
	{Group: "serving.kserve.io", Kind: "InferenceService"}:    inferenceService,
	{Group: "serving.kserve.io", Kind: "LLMInferenceService"}: llmInferenceService,
	{Group: "serving.kserve.io", Kind: "LocalModelCache"}:     localModelCache,
	{Group: "serving.kserve.io", Kind: "TrainedModel"}:        trainedModel,

	{Group: "jobset.x-k8s.io", Kind: "JobSet"}:        jobSet,
	{Group: "trainer.kubeflow.org", Kind: "TrainJob"}: trainJob,
	{Group: "kubeflow.org", Kind: "JAXJob"}:           trainingJob,
	{Group: "kubeflow.org", Kind: "MPIJob"}:           trainingJob,
	{Group: "kubeflow.org", Kind: "PaddleJob"}:        trainingJob,
	{Group: "kubeflow.org", Kind: "PyTorchJob"}:       trainingJob,
	{Group: "kubeflow.org", Kind: "TFJob"}:            trainingJob,
	{Group: "kubeflow.org", Kind: "XGBoostJob"}:       trainingJob,

	{Group: "kubeflow.org", Kind: "Experiment"}: experiment,
	{Group: "kubeflow.org", Kind: "Suggestion"}: suggestion,
	{Group: "kubeflow.org", Kind: "Trial"}:      trial,

	{Group: "kubeflow.org", Kind: "Notebook"}:                notebook,
	{Group: "kubeflow.org", Kind: "Profile"}:                 profile,
	{Group: "kubeflow.org", Kind: "PVCViewer"}:               pvcViewer,
	{Group: "kubeflow.org", Kind: "ScheduledWorkflow"}:       scheduledWorkflow,
	{Group: "tensorboard.kubeflow.org", Kind: "Tensorboard"}: tensorboard,

	{Group: "argoproj.io", Kind: "CronWorkflow"}: cronWorkflow,
	{Group: "argoproj.io", Kind: "Workflow"}:     workflow,

	{Group: "feast.dev", Kind: "FeatureStore"}: featureStore,

	{Group: "sluice.dev", Kind: "Model"}: model,

	{Group: "sparkoperator.k8s.io", Kind: "ScheduledSparkApplication"}: scheduledSparkApplication,
	{Group: "sparkoperator.k8s.io", Kind: "SparkApplication"}:          sparkApplication,
	{Group: "sparkoperator.k8s.io", Kind: "SparkConnect"}:              sparkConnect,
}

// checkOf returns the check for a kind, nil if the conventions are enough. All kinds of
// Knative, serving as well as eventing, report alike.
func checkOf(gk schema.GroupKind) func(object) agent.Health {
	if strings.HasSuffix(gk.Group, ".knative.dev") {
		return knative
	}
	return checks[gk]
}
