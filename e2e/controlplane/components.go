package main

import (
	"fmt"
	"strings"
)

// kubeAPIServer returns the API server's flags.
func kubeAPIServer(l layout, o options, portNumber int) []string {
	flags := []string{
		"--etcd-servers=unix://" + l.etcdSocket("etcd"),
		"--bind-address=" + o.bind.String(),
		"--advertise-address=" + o.advertised().String(),
		fmt.Sprintf("--secure-port=%d", portNumber),
		"--permit-port-sharing=true",
		"--endpoint-reconciler-type=" + o.endpointReconciler(),
		"--shutdown-delay-duration=0s",
		"--authorization-mode=Node,RBAC",
		"--allow-privileged=true",
		"--service-cluster-ip-range=" + o.serviceRange,

		"--tls-cert-file=" + l.pki("apiserver.crt"),
		"--tls-private-key-file=" + l.pki("apiserver.key"),
		"--client-ca-file=" + l.pki("ca.crt"),
		"--kubelet-client-certificate=" + l.pki("apiserver-kubelet-client.crt"),
		"--kubelet-client-key=" + l.pki("apiserver-kubelet-client.key"),
		"--proxy-client-cert-file=" + l.pki("front-proxy-client.crt"),
		"--proxy-client-key-file=" + l.pki("front-proxy-client.key"),
		"--requestheader-client-ca-file=" + l.pki("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + l.pki("service-account.key"),
		"--service-account-signing-key-file=" + l.pki("service-account.key"),

		"--audit-policy-file=" + l.path("run", "audit-policy.yaml"),
		"--audit-log-path=" + l.auditLog(),
		"--audit-log-mode=blocking",   // a line is in the file before the call it tells of goes on
		"--audit-log-maxsize=1000000", // MB; a rotated file would lose readers their place
	}
	if !o.webhooks {
		flags = append(flags, "--disable-admission-plugins=MutatingAdmissionWebhook,ValidatingAdmissionWebhook")
	}
	return append(flags, o.apiServerFlags...)
}

// kubeControllerManager returns the controller manager's flags. All controllers run.
func kubeControllerManager(l layout) []string {
	return []string{
		"--kubeconfig=" + l.pki("controller-manager.kubeconfig"),
		"--secure-port=0",
		"--leader-elect=false",
		"--use-service-account-credentials=true",
		"--kube-api-qps=1000",
		"--kube-api-burst=2000",
		// kwok tells of its nodes seldom. By default they would be taken for dead after 50 s, and
		// the pods on them would be unready for good.
		"--node-monitor-grace-period=24h",
		"--root-ca-file=" + l.pki("ca.crt"),
		"--service-account-private-key-file=" + l.pki("service-account.key"),
		"--cluster-signing-cert-file=" + l.pki("ca.crt"),
		"--cluster-signing-key-file=" + l.pki("ca.key"),
		"--flex-volume-plugin-dir=" + l.path("run", "volume-plugins"), // made if missing, by default below /usr
	}
}

// kubeScheduler returns the scheduler's flags.
func kubeScheduler(l layout) []string {
	return []string{
		"--kubeconfig=" + l.pki("scheduler.kubeconfig"),
		"--secure-port=0",
		"--leader-elect=false",
		"--kube-api-qps=1000",
		"--kube-api-burst=2000",
	}
}

// fakeNode marks the Nodes kwok plays; Nodes without it belong to real kubelets.
const fakeNode = "kwok.x-k8s.io/node"

// kwok returns the flags of the player of fake nodes.
func kwok(l layout, stageFiles []string) []string {
	return []string{
		"--kubeconfig=" + l.pki("kwok.kubeconfig"),
		"--config=" + strings.Join(stageFiles, ","),
		"--manage-all-nodes=false",
		"--manage-nodes-with-annotation-selector=" + fakeNode + "=fake",
		"--node-ip=127.0.0.1",
		// Pods' addresses are decoration, from a range no network routes (RFC 2544).
		"--cidr=198.18.0.1/15",
	}
}
