package main

import (
	"github.com/spf13/cobra"
	_ "go.etcd.io/etcd/server/v3/embed"
	_ "k8s.io/client-go/kubernetes"
	_ "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	_ "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
)

func newUpCommand() *cobra.Command { return &cobra.Command{Use: "up"} }
