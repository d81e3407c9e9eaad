package pulls_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/forge"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type files = map[string]string

// gitea is the forge of all tests; each has an organisation of its own.
var gitea *forge.Server

func TestMain(m *testing.M) {
	s, err := forge.Start(context.Background(), forge.Options{Progress: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	gitea = s
	status := m.Run()
	if err := s.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// house is a repository on the forge, the people who work on it, and a cluster that follows it.
type house struct {
	*rig.Rig
	repo *forge.Repo
	// owner may do everything, bot is the agent's account, ann and ben may write.
	owner, bot, ann, ben *forge.User
	files                files // of main, as last pushed by us
}

// hookToken signs the hooks.
const hookToken = "shared-" + rig.Canary

// newHouse has everything in place but Overlays and the agent.
func newHouse(t *testing.T, o cluster.Options, content files) *house {
	t.Helper()
	h := &house{Rig: rig.New(t, o), files: content}
	name := strings.ToLower(t.Name())
	h.owner, h.bot, h.ann, h.ben = h.user(name+"-owner"), h.user(name+"-bot"), h.user(name+"-ann"), h.user(name+"-ben")
	h.must(gitea.CreateOrganisation(t.Context(), h.owner, name))
	var err error
	h.repo, err = gitea.CreateRepo(t.Context(), h.owner, forge.RepoSpec{Organisation: name, Name: "platform", Private: true, Files: content})
	h.must(err)
	for _, u := range []*forge.User{h.bot, h.ann, h.ben} {
		h.must(h.repo.AddCollaborator(t.Context(), u, "write"))
	}
	token, err := h.bot.Token(t.Context(), "read:user", "read:organization", "write:repository", "write:issue")
	h.must(err)
	h.Create(h.secret("forge", map[string]string{"token": token}))
	h.Create(h.secret("git", map[string]string{"username": h.bot.Name, "password": token}))
	h.Create(h.secret("hooks", map[string]string{"token": hookToken}))
	return h
}

func (h *house) user(name string) *forge.User {
	h.T.Helper()
	u, err := gitea.CreateUser(h.T.Context(), name)
	h.must(err)
	return u
}

func (h *house) must(err error) {
	h.T.Helper()
	if err != nil {
		h.T.Fatal(err)
	}
}

func (h *house) secret(name string, data map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: name}, StringData: data}
}

// begin makes the Repository, has the forge send hooks, and starts the agent.
func (h *house) begin(edits ...func(*v1alpha1.RepositorySpec)) {
	h.T.Helper()
	o := &v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: "platform"}, Spec: v1alpha1.RepositorySpec{
		URL: h.repo.URL, Ref: &v1alpha1.RepositoryRef{Branch: "main"}, Interval: metav1.Duration{Duration: time.Hour},
		SecretRef:    &meta.LocalObjectReference{Name: "git"},
		Receiver:     &v1alpha1.Receiver{SecretRef: meta.LocalObjectReference{Name: "hooks"}},
		PullRequests: &v1alpha1.PullRequests{Provider: v1alpha1.Gitea, SecretRef: meta.LocalObjectReference{Name: "forge"}, Interval: &metav1.Duration{Duration: time.Hour}},
	}}
	for _, edit := range edits {
		edit(&o.Spec)
	}
	h.Create(o)
	h.StartAgent("--allow-loopback-checks")
	_, err := h.repo.Hook(h.T.Context(), h.owner, forge.Hook{URL: "http://" + h.Hooks + "/hooks/" + h.Namespace + "/platform", Secret: hookToken})
	h.must(err)
}

// follow makes Overlays of the directories below overlays, and waits until they are live.
func (h *house) follow(names ...string) {
	h.T.Helper()
	for _, name := range names {
		h.Overlay(name, "overlays/"+name, func(o *v1alpha1.Overlay) { o.Spec.TargetNamespace = h.Namespace })
	}
	for _, name := range names {
		h.WaitReady(name)
	}
}

// push commits to a branch in the name of somebody.
func (h *house) push(as *forge.User, branch string, change files) string {
	h.T.Helper()
	commit, err := h.repo.Push(h.T.Context(), as, gitserver.Change{Branch: branch, Message: "change " + branch, Files: change})
	h.must(err)
	return commit
}

// open opens a pull request in the name of somebody.
func (h *house) open(as *forge.User, branch, title string) *forge.Pull {
	h.T.Helper()
	p, err := h.repo.Open(h.T.Context(), as, forge.PullSpec{Head: branch, Title: title})
	h.must(err)
	return p
}

// status waits until a commit has a status of a context that is as it should be.
func (h *house) status(commit, context, state string, words ...string) forge.CommitStatus {
	h.T.Helper()
	var found forge.CommitStatus
	h.Eventually(context+" is "+state+" on "+commit[:7], func() (bool, string) {
		list, err := h.repo.Statuses(h.T.Context(), commit)
		h.must(err)
		for _, s := range list {
			if s.Context == context {
				found = s
			}
		}
		return found.State == state && contains(found.Description, words...), fmt.Sprintf("%+v", found)
	})
	return found
}

// comment waits until the one comment of the agent of a kind is as it should be, and returns it.
func (h *house) comment(p *forge.Pull, kind string, words ...string) string {
	h.T.Helper()
	var body string
	h.Eventually("comment "+kind, func() (bool, string) {
		list, err := p.Comments(h.T.Context())
		h.must(err)
		body = ""
		for _, c := range list {
			if strings.HasPrefix(c.Body, "<!-- sluice:"+kind+" -->") {
				if body != "" {
					h.T.Fatalf("there are two comments %s", kind)
				}
				body = c.Body
			}
		}
		return body != "" && contains(body, words...), body
	})
	return body
}

func contains(text string, words ...string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// calls are the requests to the API of the forge since earlier ones.
func calls(since forge.Traffic) forge.Traffic { return gitea.Traffic()[len(since):].API() }

// done are those of requests that the forge has done as it was asked.
func done(t forge.Traffic) forge.Traffic {
	return slices.DeleteFunc(t, func(r forge.Request) bool { return r.Status < 200 || r.Status > 299 })
}

// writes are those of requests that change something.
func writes(t forge.Traffic) forge.Traffic {
	return slices.DeleteFunc(slices.Clone(t), func(r forge.Request) bool { return r.Method == http.MethodGet })
}

// quiet waits until nobody has asked the forge for anything for some time, and returns what was asked
// since earlier requests.
func (h *house) quiet(since forge.Traffic) forge.Traffic {
	h.T.Helper()
	const pause = 2 * time.Second
	last, at := -1, time.Now()
	h.Eventually("the agent leaves the forge alone", func() (bool, string) {
		if now := len(gitea.Traffic()); now != last {
			last, at = now, time.Now()
		}
		return time.Since(at) > pause, fmt.Sprintf("%d requests", last)
	})
	return calls(since)
}

// in is the house as a part of its test sees it.
func (h *house) in(t *testing.T) *house {
	r, part := *h.Rig, *h
	r.T, part.Rig = t, &r
	return &part
}

// change makes a commit that is more than some files, in the name of somebody.
func (h *house) change(as *forge.User, c gitserver.Change) string {
	h.T.Helper()
	commit, err := h.repo.Push(h.T.Context(), as, c)
	h.must(err)
	return commit
}

// propose pushes files to a new branch and opens a pull request of it.
func (h *house) propose(branch string, change files) *forge.Pull {
	h.T.Helper()
	h.push(h.ann, branch, change)
	return h.open(h.ann, branch, "Change "+branch)
}

// close closes a pull request without a merge.
func (h *house) close(p *forge.Pull) {
	h.T.Helper()
	h.must(p.Edit(h.T.Context(), h.ann, "", "closed"))
}

// record waits until what is on record of a pull request is as it should be.
func (h *house) record(p *forge.Pull, what string, is func(v1alpha1.PullRequestStatus) bool) v1alpha1.PullRequestStatus {
	h.T.Helper()
	var found v1alpha1.PullRequestStatus
	h.Eventually(fmt.Sprintf("the record of pull request %d %s", p.Number, what), func() (bool, string) {
		found = v1alpha1.PullRequestStatus{}
		for _, r := range h.GetRepository("platform").Status.PullRequests {
			if r.Number == int64(p.Number) {
				found = r
			}
		}
		return is(found), fmt.Sprintf("%+v", found)
	})
	return found
}

// says waits until the Repository says of its pull requests what it should.
func (h *house) says(status metav1.ConditionStatus, reason string, words ...string) {
	h.T.Helper()
	h.Eventually(fmt.Sprintf("PullRequests is %s with %s", status, reason), func() (bool, string) {
		c := apimeta.FindStatusCondition(h.GetRepository("platform").Status.Conditions, v1alpha1.PullRequestsCondition)
		return c != nil && c.Status == status && c.Reason == reason && contains(c.Message, words...), fmt.Sprintf("%+v", c)
	})
}

// look has the agent look at the forge now, as a hook would.
func (h *house) look() {
	h.T.Helper()
	o := &v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: "platform"}}
	h.Update(o, func() {
		if o.Annotations == nil {
			o.Annotations = map[string]string{}
		}
		o.Annotations[v1alpha1.PullRequestsAnnotation] = time.Now().Format(time.RFC3339Nano)
	})
}
