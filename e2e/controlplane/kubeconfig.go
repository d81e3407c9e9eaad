package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// newKubeconfigCommand issues access to a running control plane for one more identity: a
// kubelet (system:node:NAME in group system:nodes), or a user with few rights.
func newKubeconfigCommand() *cobra.Command {
	var dir, out string
	var who identity
	command := &cobra.Command{
		Use:   "kubeconfig",
		Short: "write a kubeconfig for one more user of a running control plane",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if dir == "" || out == "" || who.user == "" {
				return errors.New("--dir, --out and --user are required")
			}
			l, err := existingLayout(dir)
			if err != nil {
				return err
			}
			existing, err := clientcmd.LoadFromFile(l.kubeconfig())
			if err != nil {
				return err
			}
			ca, err := loadAuthority(l, "ca")
			if err != nil {
				return err
			}
			return writeKubeconfig(out, existing.Clusters[clusterName].Server, ca, who)
		},
	}
	command.Flags().StringVar(&dir, "dir", "", "directory of the control plane")
	command.Flags().StringVar(&out, "out", "", "file to write")
	command.Flags().StringVar(&who.user, "user", "", "user name")
	command.Flags().StringSliceVar(&who.groups, "group", nil, "group the user is in; may be repeated")
	return command
}

const clusterName = "sluice"

// writeKubeconfig writes a file that holds all it needs: no path in it, so it can be moved.
func writeKubeconfig(path, server string, ca authority, who identity) error {
	client, err := ca.client(who)
	if err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[clusterName] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca.pem()}
	config.AuthInfos[who.user] = &clientcmdapi.AuthInfo{ClientCertificateData: client.certificate, ClientKeyData: client.key}
	config.Contexts[clusterName] = &clientcmdapi.Context{Cluster: clusterName, AuthInfo: who.user}
	config.CurrentContext = clusterName
	encoded, err := clientcmd.Write(*config)
	if err != nil {
		return err
	}
	return os.WriteFile(path, encoded, 0o600)
}
