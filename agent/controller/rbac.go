package controller

// What the agent's own account may do. `make generate` turns these markers into
// manifests/rbac/role.yaml. The account keeps books and nothing more: what an Overlay may
// deploy is up to the account that its spec.serviceAccountName names, or to a binding that
// somebody makes on purpose (manifests/cluster-admin).
//
// Repositories are read, and told how they are. A hook is passed on to the replica that works on a
// Repository by an annotation.
//
// +kubebuilder:rbac:groups=sluice.dev,resources=repositories,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=sluice.dev,resources=repositories/status,verbs=get;patch;update
//
// Overlays also get a finalizer, by which their objects are dealt with before they go.
//
// +kubebuilder:rbac:groups=sluice.dev,resources=overlays,verbs=get;list;watch;patch;update
// +kubebuilder:rbac:groups=sluice.dev,resources=overlays/status,verbs=get;patch;update
// +kubebuilder:rbac:groups=sluice.dev,resources=overlays/finalizers,verbs=update
//
// Models get a finalizer too. ModelVersions are read and told how they are, PromotionPolicies are
// read.
//
// +kubebuilder:rbac:groups=sluice.dev,resources=models,verbs=get;list;watch;patch;update
// +kubebuilder:rbac:groups=sluice.dev,resources=models/status,verbs=get;patch;update
// +kubebuilder:rbac:groups=sluice.dev,resources=models/finalizers,verbs=update
// +kubebuilder:rbac:groups=sluice.dev,resources=modelversions,verbs=get;list;watch
// +kubebuilder:rbac:groups=sluice.dev,resources=modelversions/status,verbs=get;patch;update
// +kubebuilder:rbac:groups=sluice.dev,resources=promotionpolicies,verbs=get;list;watch
//
// Inventories and Promotions are the agent's own records.
//
// +kubebuilder:rbac:groups=sluice.dev,resources=inventories,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups=sluice.dev,resources=promotions,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups=sluice.dev,resources=promotions/status,verbs=get;patch;update
//
// Retrainings are read and told how they are, and their runs are the agent's own records. What a run is made
// of is up to the account that the Retraining names.
//
// +kubebuilder:rbac:groups=sluice.dev,resources=retrainings,verbs=get;list;watch
// +kubebuilder:rbac:groups=sluice.dev,resources=retrainings/status,verbs=get;patch;update
// +kubebuilder:rbac:groups=sluice.dev,resources=retrainings/finalizers,verbs=update
// +kubebuilder:rbac:groups=sluice.dev,resources=retrainingruns,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups=sluice.dev,resources=retrainingruns/status,verbs=get;patch;update
//
// Pipelines are read and told how they are. Where they name an account, or their Retrainings do, a token of
// it is made for Kubeflow Pipelines, and for nothing else.
//
// +kubebuilder:rbac:groups=sluice.dev,resources=pipelines,verbs=get;list;watch
// +kubebuilder:rbac:groups=sluice.dev,resources=pipelines/status,verbs=get;patch;update
// +kubebuilder:rbac:groups="",resources=serviceaccounts/token,verbs=create
//
// KServe's settings say which mode InferenceServices have by default, authorities that a Secret for
// object storage names are in ConfigMaps, and so are the packages of Pipelines. They are read one by one and
// by name.
//
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get
//
// A Repository names the Secrets with its credentials, in its own namespace, which may be any.
// They are read one by one and by name; none is ever listed, watched or kept in a cache.
//
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get
//
// A CustomResourceDefinition or a Namespace that appears wakes the Overlays that wait for it.
// Only their metadata is watched.
//
// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
//
// Events tell people what happened, next to the Repository or Overlay it happened to.
//
// +kubebuilder:rbac:groups="",resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
//
// The agent works in the name of the ServiceAccount that an Overlay names in its own
// namespace. This is as much power as the strongest ServiceAccount of the cluster has, held
// by the agent's code alone: who may write Overlays in a namespace may use the accounts of
// that namespace, as anyone who may create Pods there does already.
//
// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=impersonate
//
// Replicas share the work by Leases, which are the agent's own and lie in its own namespace.
//
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=sluice-system,resources=leases,verbs=get;list;watch;create;update;patch;delete
