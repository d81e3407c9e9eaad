package kserve

import (
	"context"
	"crypto/sha256"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

//go:embed testdata/*.yaml
var definitions embed.FS

// install creates the kinds of the options, or changes them to the release that is meant, and
// KServe's settings.
func (s *StandIn) install(ctx context.Context) error {
	release := "0.16"
	if s.options.Canary {
		release = "0.20"
	}
	files := []string{"inferenceservices-" + release, "inferencegraphs"}
	if s.options.Knative {
		files = append(files, "knative-services")
	}
	for _, file := range files {
		data, err := definitions.ReadFile("testdata/" + file + ".yaml")
		if err != nil {
			return err
		}
		if err := establish(ctx, s.client, data); err != nil {
			return err
		}
	}
	if s.options.Gateway {
		if err := installGatewayAPI(ctx, s.client); err != nil {
			return err
		}
	}
	return s.configure(ctx)
}

// configure writes the ConfigMap in which KServe has its settings.
func (s *StandIn) configure(ctx context.Context) error {
	mode := "Standard"
	if s.options.Knative {
		mode = "Knative"
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kserve"}}
	if err := s.client.Create(ctx, namespace); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	settings := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kserve", Name: "inferenceservice-config"},
		Data: map[string]string{
			"deploy":  fmt.Sprintf(`{"defaultDeploymentMode": %q}`, mode),
			"ingress": fmt.Sprintf(`{"enableGatewayApi": %t, "kserveIngressGateway": "kserve/kserve-ingress-gateway", "ingressDomain": "example.com"}`, s.options.Gateway),
		},
	}
	err := s.client.Create(ctx, settings)
	if apierrors.IsAlreadyExists(err) {
		err = s.client.Update(ctx, settings)
	}
	return err
}

// InstallGatewayAPI creates the kinds of the Gateway API, as their Go module has them.
func InstallGatewayAPI(ctx context.Context, access *rest.Config) error {
	c, err := client.New(access, client.Options{Scheme: scheme()})
	if err != nil {
		return err
	}
	return installGatewayAPI(ctx, c)
}

func installGatewayAPI(ctx context.Context, c client.Client) error {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		return fmt.Errorf("the module of the Gateway API: %w", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "config", "crd", "standard")
	for _, kind := range []string{"gatewayclasses", "gateways", "httproutes", "referencegrants"} {
		data, err := os.ReadFile(filepath.Join(dir, "gateway.networking.k8s.io_"+kind+".yaml"))
		if err != nil {
			return err
		}
		if err := establish(ctx, c, data); err != nil {
			return err
		}
	}
	return nil
}

// patience is how long a machine that is busy may take to establish a kind.
const patience = 2 * time.Minute

// installed is an annotation with the digest of the file that a kind is from.
const installed = "kserve.test/installed"

// establish creates or changes a kind, and waits until objects of it can be written.
func establish(ctx context.Context, c client.Client, data []byte) error {
	var wanted apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(data, &wanted); err != nil {
		return err
	}
	metav1.SetMetaDataAnnotation(&wanted.ObjectMeta, installed, fmt.Sprintf("%x", sha256.Sum256(data)))
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		var live apiextensionsv1.CustomResourceDefinition
		err := c.Get(ctx, client.ObjectKeyFromObject(&wanted), &live)
		switch {
		case apierrors.IsNotFound(err):
			err = c.Create(ctx, wanted.DeepCopy())
		case err == nil && live.Annotations[installed] != wanted.Annotations[installed]:
			live.Spec, live.Annotations = wanted.Spec, wanted.Annotations
			err = c.Update(ctx, &live)
		case err == nil && established(live):
			return nil
		}
		if err != nil && !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("the kind %s: %w", wanted.Name, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the kind %s was not established in time", wanted.Name)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func established(crd apiextensionsv1.CustomResourceDefinition) bool {
	for _, c := range crd.Status.Conditions {
		if c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue {
			return true
		}
	}
	return false
}
