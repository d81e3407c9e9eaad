package pulls_test

import (
	"bytes"
	"errors"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/forge"
	"github.com/sluice-dev/sluice/e2e/rig"
)

// sluice runs the command line with all rights, and returns what it prints and its exit code.
func (h *house) sluice(args ...string) (stdout, stderr string, code int) {
	h.T.Helper()
	cmd := exec.Command(rig.Binary(h.T), append(args, "--kubeconfig", h.Cluster.Kubeconfig, "--namespace", h.Namespace)...)
	var out, remarks bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &remarks
	if err := cmd.Run(); err != nil {
		exit, is := errors.AsType[*exec.ExitError](err)
		if !is {
			h.T.Fatal(err)
		}
		code = exit.ExitCode()
	}
	return out.String(), remarks.String(), code
}

// madeAt is when a plan was made.
var madeAt = regexp.MustCompile(`(made|as of) \d{4}-\d\d-\d\d \d\d:\d\d UTC`)

// timeless is what a comment or the command line says, but for its marker and the time.
func timeless(text string) string {
	text = strings.TrimPrefix(strings.ReplaceAll(text, "\r\n", "\n"), "<!-- sluice:plan -->\n")
	return strings.TrimSpace(madeAt.ReplaceAllString(text, "$1 then"))
}

// The command line says of a pull request what the agent says on it. It only asks, the cluster and the
// forge.
func TestCommandLine(t *testing.T) {
	h := newHouse(t, cluster.Options{Nodes: 1}, platform())
	h.fewReplicas()
	h.begin()
	h.follow("shop", "other")

	const file = "overlays/shop/deployment.yaml"
	p := h.propose("tune", files{file: "# the shop\n" + shop("3", "1")})
	plan := []string{"plan", "--pr", strconv.Itoa(p.Number), "--allow-insecure-git"}
	for _, test := range []struct {
		content string // of the file; empty for what it is proposed with
		code    int
		words   []string // of the comment
	}{
		{"", 0, []string{"+ spec.replicas: 3", "1 other overlay is not affected"}},
		{"# the shop\n" + shop("9", "1"), 1, []string{file + ":2", "at most 5 replicas", "few-replicas-" + h.Namespace}},
		{"kind: [\n", 1, []string{file}},
	} {
		head := p.Head.SHA
		if test.content != "" {
			head = h.push(h.ann, "tune", files{file: test.content})
		}
		comment := h.comment(p, "plan", append(test.words, head[:7])...)
		requests, err := h.Cluster.Requests(t.Context())
		h.must(err)
		before := gitea.Traffic()
		said, remarks, code := h.sluice(plan...)
		if timeless(said) != timeless(comment) || remarks != "" || code != test.code {
			t.Errorf("exit code %d, want %d, and it says\n%s\n%s\nwhere the agent says\n%s", code, test.code, said, remarks, comment)
		}
		after, err := h.Cluster.Requests(t.Context())
		h.must(err)
		if wrote := after.Since(requests).By("sluice-cli/").Writes(); len(wrote) > 0 {
			t.Errorf("it wrote to the cluster:\n%s", wrote)
		}
		if asked := calls(before); len(asked) == 0 || slices.ContainsFunc(asked, func(r forge.Request) bool { return r.Method != http.MethodGet }) {
			t.Errorf("it asked the forge\n%s", asked)
		}
	}

	list, _, code := h.sluice("get", "pulls")
	line := regexp.MustCompile(`(?m)^REPOSITORY +NUMBER +STATE +HEAD +SUMMARY\nplatform +1 +Failed +[0-9a-f]{7} +1 problem: ` + file + `.*$`)
	if code != 0 || !line.MatchString(list) {
		t.Errorf("the list is\n%s", list)
	}

	h.push(h.owner, "main", files{file: "# the shop\n" + shop("4", "1")})
	h.WaitReady("shop")
	comment := h.comment(p, "plan", "both sides have changed")
	if said, _, code := h.sluice(plan...); timeless(said) != timeless(comment) || code != 1 {
		t.Errorf("exit code %d, and it says\n%s\nwhere the agent says\n%s", code, said, comment)
	}

	h.close(p)
	if said, remarks, code := h.sluice(plan...); said != "" || code != 2 || remarks != "Error: pull request 1 is closed: there is nothing to plan\n" {
		t.Errorf("exit code %d, %s%s", code, said, remarks)
	}
	if _, remarks, code := h.sluice("plan", "--pr", "77", "--allow-insecure-git"); code != 2 || !contains(remarks, "cannot read pull request 77: it is not there") || contains(remarks, "--base") {
		t.Errorf("exit code %d, %s", code, remarks)
	}
	if _, remarks, code := h.sluice(plan[:3]...); code != 2 || !contains(remarks, "not encrypted") {
		t.Errorf("exit code %d, %s", code, remarks)
	}
}
