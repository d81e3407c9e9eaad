// Package node runs a real Kubernetes node for tests: kubelet, containerd, runc and
// kube-proxy next to a real control plane (package cluster), so that images are unpacked,
// containers run, probes are asked, Services lead somewhere and RBAC holds. It needs Linux,
// root and some Debian packages, which it installs when they are missing.
//
//	func TestMain(m *testing.M) { os.Exit(node.Main(m.Run, node.Needs{Programs: []string{"./cmd/sluice"}})) }
//
//	func TestSomething(t *testing.T) {
//		if err := node.Unavailable(); err != nil {
//			t.Skip(err)
//		}
//		n, err := node.Start(t.Context())
//		defer n.Stop()
//		err = node.BuildImage(t.Context(), file) // what `make image` makes
//		err = n.Import(t.Context(), file)
//		out, err := n.Kubectl(t.Context(), "apply", "-k", "manifests/install")
//	}
//
// # A machine of its own
//
// A kubelet expects a machine to itself: it turns kernel knobs, makes cgroups, mounts and
// directories, and its containers outlive it. So Main runs the tests in another process that
// has a network, a process table and a file system view of its own (Linux namespaces):
//
//   - the network has a loopback and one bridge, on which the Pods are. No way leads out of
//     it, and none in. What a test listens on at Address is what Pods reach.
//   - when the tests end, however they do, the kernel kills every process of theirs, and with
//     the last one the network, all mounts and all files that were made under them vanish;
//   - /run and what is written below /var lie in memory; so do containerd's and the kubelet's
//     files;
//   - the knobs that a kubelet sets for the whole machine are covered by files that have the
//     values it wants (see knobs);
//   - cgroups are the one thing made on the machine itself, under one name, and Main removes
//     them.
//
// Main looks at the machine before and after and fails when something is left behind. What
// stays on purpose is the Debian packages it installed and said so.
//
// Where all this is not possible (no root, another system), Main runs the tests all the same
// and Unavailable tells them why they have to be skipped.
package node
