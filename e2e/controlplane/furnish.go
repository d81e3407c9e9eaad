package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	apiTimeout     = 60 * time.Second
	furnishTimeout = 60 * time.Second
)

// awaitAPI returns when the API server says it is ready.
func awaitAPI(ctx context.Context, l layout) error {
	client, err := bootstrapClient(l)
	if err != nil {
		return err
	}
	return await(ctx, apiTimeout, func(ctx context.Context) (blocker error) {
		_, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Raw()
		return err
	})
}

// furnish brings what a workload expects of a cluster: nodes that take pods, a storage class
// for claims that name none, and the default service account.
func furnish(ctx context.Context, l layout, nodes int) error {
	client, err := bootstrapClient(l)
	if err != nil {
		return err
	}
	for i := range nodes {
		node := fakeNodeObject(fmt.Sprintf("node-%d", i))
		if _, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); ignoreExisting(err) != nil {
			return fmt.Errorf("creating node %s: %w", node.Name, err)
		}
	}
	if _, err := client.StorageV1().StorageClasses().Create(ctx, storageClass(), metav1.CreateOptions{}); ignoreExisting(err) != nil {
		return fmt.Errorf("creating the storage class: %w", err)
	}
	return await(ctx, furnishTimeout, func(ctx context.Context) (blocker error) {
		if _, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{}); err != nil {
			return err
		}
		list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, node := range list.Items {
			if node.Annotations[fakeNode] == "fake" && !takesPods(node) {
				return fmt.Errorf("node %s is not ready", node.Name)
			}
		}
		return nil
	})
}

func bootstrapClient(l layout) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", l.pki("bootstrap.kubeconfig"))
	if err != nil {
		return nil, err
	}
	config.RateLimiter, config.QPS = nil, -1
	config = rest.AddUserAgent(config, "controlplane")
	return kubernetes.NewForConfig(config)
}

// await asks for the blocker until there is none.
func await(ctx context.Context, timeout time.Duration, ask func(context.Context) (blocker error)) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last error
	for {
		blocker := ask(ctx)
		if blocker == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = blocker // one that is not merely the timeout's own
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("not ready after %s: %w", timeout, last)
			}
			return ctx.Err()
		case <-time.After(25 * time.Millisecond):
		}
	}
}

func ignoreExisting(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func fakeNodeObject(name string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name:        name,
		Annotations: map[string]string{fakeNode: "fake"},
		Labels: map[string]string{
			corev1.LabelHostname:   name,
			corev1.LabelOSStable:   "linux",
			corev1.LabelArchStable: "amd64",
		},
	}}
}

// takesPods also looks at taints: the one of a new node goes a moment after it is Ready.
func takesPods(node corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue && len(node.Spec.Taints) == 0
		}
	}
	return false
}

// storageClass is the default one; its volumes are made by a Stage (stages/volume.yaml).
func storageClass() *storagev1.StorageClass {
	return &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{
			Name:        "standard",
			Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"},
		},
		Provisioner: "fake.sluice.dev/volume",
	}
}
