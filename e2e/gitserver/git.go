package gitserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// environment keeps Git from the configuration of the user and the machine.
func environment(further ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + os.DevNull,
		"GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_CONFIG_NOSYSTEM=1",
		"LC_ALL=C",
	}, further...)
}

// findGit is the path of the git program.
func findGit() (string, error) {
	git, err := exec.LookPath("git")
	if err != nil {
		return "", fmt.Errorf("%w: install git", err)
	}
	return git, nil
}

// git runs git in a repository and returns what it prints, without the line's end.
func git(dir string, input io.Reader, arguments ...string) (string, error) {
	program, err := findGit()
	if err != nil {
		return "", err
	}
	var output, complaint bytes.Buffer
	command := exec.Command(program, arguments...)
	command.Dir = dir
	command.Env = environment()
	command.Stdin, command.Stdout, command.Stderr = input, &output, &complaint
	if err := command.Run(); err != nil {
		return "", errors.Join(fmt.Errorf("git %s: %w", strings.Join(arguments, " "), err), errors.New(complaint.String()))
	}
	return strings.TrimSuffix(output.String(), "\n"), nil
}
