package main

import (
	"fmt"
	"net"

	"k8s.io/client-go/util/keyutil"
)

// The identities of the control plane's own parts. audit-policy.yaml names them too: what
// they ask of the API server is not on the record.
var (
	asControllerManager = identity{user: "system:kube-controller-manager"}
	asScheduler         = identity{user: "system:kube-scheduler"}
	asFakeNodes         = identity{user: "system:kwok", groups: []string{"system:masters"}}
	asBootstrap         = identity{user: "system:controlplane", groups: []string{"system:masters"}}

	asAdmin = identity{user: "admin", groups: []string{"system:masters"}}
)

// writeCredentials makes every key, certificate and kubeconfig of the control plane.
// Authorities and the service-account key are kept from an earlier start; the rest is new.
func writeCredentials(l layout, server string, addresses []net.IP) error {
	authorities := map[string]authority{}
	for _, name := range []string{"ca", "front-proxy-ca"} {
		a, err := loadAuthority(l, name)
		if err != nil {
			return err
		}
		authorities[name] = a
	}
	if _, _, err := keyutil.LoadOrGenerateKeyFile(l.pki("service-account.key")); err != nil {
		return fmt.Errorf("the service-account key: %w", err)
	}

	serving, err := authorities["ca"].server(addresses, []string{
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	})
	if err != nil {
		return err
	}
	if err := serving.write(l, "apiserver"); err != nil {
		return err
	}
	for _, c := range []struct {
		name, authority string
		who             identity
	}{
		{"apiserver-kubelet-client", "ca", identity{user: "kube-apiserver-kubelet-client", groups: []string{"system:masters"}}},
		{"front-proxy-client", "front-proxy-ca", identity{user: "front-proxy-client"}},
	} {
		client, err := authorities[c.authority].client(c.who)
		if err != nil {
			return err
		}
		if err := client.write(l, c.name); err != nil {
			return err
		}
	}

	for path, who := range map[string]identity{
		l.pki("controller-manager.kubeconfig"): asControllerManager,
		l.pki("scheduler.kubeconfig"):          asScheduler,
		l.pki("kwok.kubeconfig"):               asFakeNodes,
		l.pki("bootstrap.kubeconfig"):          asBootstrap,
		l.kubeconfig():                         asAdmin,
	} {
		if err := writeKubeconfig(path, server, authorities["ca"], who); err != nil {
			return err
		}
	}
	return nil
}
