package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// sh shows a command and runs it in the clone. It returns what the command prints.
func (d *demo) sh(ctx context.Context, command string) (string, error) {
	fmt.Println("   $ " + command)
	return d.command(ctx, d.clone(), command)
}

// tell shows a command, runs it in the clone, and prints what it prints.
func (d *demo) tell(ctx context.Context, command string, print func(string)) error {
	output, err := d.sh(ctx, command)
	if err != nil {
		return err
	}
	print(output)
	return nil
}

// command runs a shell command with the demo's kubectl, cluster, object store and Git identity.
func (d *demo) command(ctx context.Context, dir, command string) (string, error) {
	shell := exec.CommandContext(ctx, "sh", "-c", command)
	shell.Dir = dir
	shell.WaitDelay = 5 * time.Second // for what the shell started, should the shell be killed
	shell.Env = append(append(withoutAWS(os.Environ()), d.storeVariables()...),
		"PATH="+d.bin+":"+os.Getenv("PATH"),
		"KUBECONFIG="+d.cluster.Kubeconfig,
		"KUBECACHEDIR="+d.dir+"/kubectl",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
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
	return strings.TrimRight(string(output), " \n"), nil
}

// withoutAWS leaves out what the reader has to do with another store than the demo's.
func withoutAWS(environment []string) []string {
	return slices.DeleteFunc(environment, func(variable string) bool { return strings.HasPrefix(variable, "AWS_") })
}
