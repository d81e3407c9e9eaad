// Controlplane is a whole Kubernetes control plane in one binary, built from Go modules: a
// machine with a Go toolchain needs nothing else to run it.
//
//	controlplane up --dir DIR
//
// embeds etcd and starts kube-apiserver, kube-controller-manager, kube-scheduler and kwok as
// children of itself, every one the real program. Kwok stands in for kubelets: Nodes turn
// Ready, Pods run, Jobs complete, claims bind, and no container is ever started. The file
// DIR/kubeconfig holds an administrator's access, and DIR/ready appears when the API server
// is ready, all nodes take pods and the default service account exists.
//
// It is a multi-call binary: "controlplane kubectl get nodes", or a symlink named kubectl,
// is kubectl. Components run in processes of their own because logging, feature gates and
// signal handlers are global in all of them.
//
// Pods do as their annotations say:
//
//	fake.sluice.dev/pod: Pending          never starts
//	fake.sluice.dev/pod: Crash            runs, never gets ready: CrashLoopBackOff
//	fake.sluice.dev/pod: Fail             ends with exit code 1
//	fake.sluice.dev/pod: Run              of a Job: never completes
//	fake.sluice.dev/ready-after: 10s      gets ready later
//	fake.sluice.dev/complete-after: 10s   of a Job: completes later
//	fake.sluice.dev/termination-message   of a Job: what its containers end with, also when it fails
//
// and "controlplane simulate" walks custom resources through kwok Stages, in place of the
// controllers they are for.
//
// What goes in: a directory. What comes out: a kubeconfig and, in DIR/audit.log, every call
// a client made. What it never does: listen on anything but the given address, reach another
// machine (the Service range lies on loopback), or leave a process behind.
//
// Files under DIR:
//
//	kubeconfig    administrator
//	ready         exists while the control plane is ready
//	audit.log     one line per stage of each request, the control plane's own left out
//	logs/         one file per component
//	run/          one file per component with its process id, for tests that stop or kill one
//	pki/          authorities, certificates, and the components' kubeconfigs
//	etcd/         the data; kept, with pki/, for the next start on the same directory
package main
