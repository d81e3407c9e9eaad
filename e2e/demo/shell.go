package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// sh shows a command and runs it in the clone. It returns what the command prints.
func (d *demo) sh(ctx context.Context, command string) (string, error) {
	fmt.Println("   $ " + command)
	return d.command(ctx, d.clone(), command)
}

// command runs a shell command with the demo's kubectl, cluster and Git identity.
func (d *demo) command(ctx context.Context, dir, command string) (string, error) {
	shell := exec.CommandContext(ctx, "sh", "-c", command)
	shell.Dir = dir
	shell.WaitDelay = 5 * time.Second // for what the shell started, should the shell be killed
	shell.Env = append(os.Environ(),
		"PATH="+d.bin+":"+os.Getenv("PATH"),
		"KUBECONFIG="+d.cluster.Kubeconfig,
		"KUBECACHEDIR="+d.dir+"/kubectl",
		"NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1",
		"GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ana", "GIT_AUTHOR_EMAIL=ana@example.com",
		"GIT_COMMITTER_NAME=Ana", "GIT_COMMITTER_EMAIL=ana@example.com",
	)
	output, err := shell.CombinedOutput()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", command, err, output)
	}
	return strings.TrimSpace(string(output)), nil
}
