package main

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// startEtcd runs etcd within this process, tuned to be quick rather than safe from a power
// cut: nothing is synced to disk. A kill of the process loses nothing.
func startEtcd(l layout) (*embed.Etcd, error) {
	client := []url.URL{{Scheme: "unix", Path: l.etcdSocket("etcd")}}
	peer := []url.URL{{Scheme: "unix", Path: l.etcdSocket("peer")}}

	cfg := embed.NewConfig()
	cfg.Dir = l.path("etcd")
	cfg.LogLevel = "warn"
	cfg.LogOutputs = []string{l.log("etcd")}
	cfg.UnsafeNoFsync = true
	cfg.TickMs = 10
	cfg.ElectionMs = 100
	cfg.QuotaBackendBytes = 8 << 30
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = client, client
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = peer, peer
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)

	server, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, fmt.Errorf("starting etcd: %w", err)
	}
	select {
	case <-server.Server.ReadyNotify():
		return server, nil
	case err := <-server.Err():
		return nil, fmt.Errorf("starting etcd: %w", err)
	case <-time.After(30 * time.Second):
		return nil, errors.New("etcd was not ready after 30 s; its log is " + l.log("etcd"))
	}
}
