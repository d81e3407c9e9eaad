package rig

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Canary is a secret: the password of the shared Git server, and what tests put into the
// Secrets they deploy. It must not be seen in any status, event or log.
const Canary = "canary-b7d1e0-this-is-secret"

var shared struct {
	sync.Once
	rig   *Rig
	flags []string
	ends  []func()
}

// Shared returns the rig that the tests of a process share, as it looks to one of them: the
// control plane, the Git server, which wants a password, and the agent are the same for all;
// the namespace is the test's own and has the name of the test. A package that uses it has
//
//	func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }
//
// When the test ends, its Overlays are suspended and its Retrainings deleted, and it fails if the Canary was shown
// anywhere. A test that ends the agent runs by itself, without t.Parallel; the next one has an agent again.
func Shared(t testing.TB) *Rig {
	t.Helper()
	shared.Do(func() { shared.rig = startShared(t) })
	if shared.rig == nil {
		t.Fatal("the control plane that the tests share did not start; see the first test")
	}
	r := *shared.rig
	r.T, r.Namespace = t, kebab(t.Name())
	if r.agent.command == nil { // a test before has ended it
		r.StartAgent(shared.flags...)
	}
	r.Create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.Namespace}})
	r.Create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: "git"},
		StringData: map[string]string{"username": r.access.Username, "password": r.access.Password},
	})
	t.Cleanup(r.leave)
	return &r
}

func startShared(t testing.TB) *Rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "sluice-shared-")
	if err != nil {
		t.Fatal(err)
	}
	atEnd := func(end func()) { shared.ends = append(shared.ends, end) }
	atEnd(func() { _ = os.RemoveAll(dir) })
	r := &Rig{T: t, Dir: filepath.Join(dir, "agent"), log: filepath.Join(dir, "agent.log"), agent: &process{},
		access: gitserver.Access{Username: "sluice", Password: Canary}}
	r.start(cluster.Options{}, atEnd)
	r.StartAgent(shared.flags...)
	atEnd(r.KillAgent)
	return r
}

// Main runs the tests of a package and ends what they share; the agent has the flags besides those that every test
// needs. The tests mostly wait, so more of them than there are processors run side by side, unless -parallel says
// otherwise.
func Main(m *testing.M, flags ...string) int {
	shared.flags = flags
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", "8") // the flag is there, and takes numbers
	}
	code := m.Run()
	if shared.rig != nil {
		if line := exposed(shared.rig.Log()); line != "" {
			fmt.Fprintln(os.Stderr, "the agent's log shows a secret:", line)
			code = max(code, 1)
		}
	}
	for _, end := range slices.Backward(shared.ends) {
		end()
	}
	return code
}

// leave ends one test's use of the shared rig.
func (r *Rig) leave() {
	r.CheckSecrets()
	if r.T.Failed() {
		r.T.Logf("end of the agent's log about the namespace:\n%s", end(r.ownLog()))
	}
	var overlays v1alpha1.OverlayList
	if err := r.Client.List(context.Background(), &overlays, client.InNamespace(r.Namespace)); err != nil {
		r.T.Fatal(err)
	}
	for n := range overlays.Items {
		o := &overlays.Items[n]
		before := o.DeepCopy()
		o.Spec.Suspend = true
		if err := client.IgnoreNotFound(r.Client.Patch(context.Background(), o, client.MergeFrom(before))); err != nil {
			r.T.Error(err)
		}
	}
	if err := r.Client.DeleteAllOf(context.Background(), &v1alpha1.Retraining{}, client.InNamespace(r.Namespace)); err != nil {
		r.T.Error(err)
	}
}

// ownLog returns the lines of the agent's log that speak of the test's namespace.
func (r *Rig) ownLog() string {
	var own []string
	for line := range strings.Lines(r.Log()) {
		if strings.Contains(line, r.Namespace) {
			own = append(own, line)
		}
	}
	return strings.Join(own, "")
}

// CheckSecrets fails the test if the Canary is in what the agent has written: the Repositories,
// Overlays, Inventories, Retrainings and their runs in the namespace, the events in it, and the agent's log.
func (r *Rig) CheckSecrets() {
	r.T.Helper()
	var repositories v1alpha1.RepositoryList
	var overlays v1alpha1.OverlayList
	var inventories v1alpha1.InventoryList
	var retrainings v1alpha1.RetrainingList
	var runs v1alpha1.RetrainingRunList
	var events corev1.EventList
	for _, list := range []client.ObjectList{&repositories, &overlays, &inventories, &retrainings, &runs, &events} {
		if err := r.Client.List(context.Background(), list, client.InNamespace(r.Namespace)); err != nil {
			r.T.Fatal(err)
		}
		text, err := json.MarshalIndent(list, "", " ")
		if err != nil {
			r.T.Fatal(err)
		}
		if line := exposed(string(text)); line != "" {
			r.T.Errorf("a %T shows a secret: %s", list, line)
		}
	}
	if line := exposed(r.ownLog()); line != "" {
		r.T.Errorf("the agent's log shows a secret: %s", line)
	}
}

// exposed returns the first line that shows the Canary, as it is or in base64.
func exposed(text string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, Canary) || strings.Contains(line, base64.StdEncoding.EncodeToString([]byte(Canary))) {
			return line
		}
	}
	return ""
}

// Events returns what the events about one object say, with the number of times they did,
// oldest first.
func (r *Rig) Events(kind, name string) []corev1.Event {
	r.T.Helper()
	var list corev1.EventList
	if err := r.Client.List(context.Background(), &list, client.InNamespace(r.Namespace)); err != nil {
		r.T.Fatal(err)
	}
	var about []corev1.Event
	for _, e := range list.Items {
		if e.InvolvedObject.Kind == kind && e.InvolvedObject.Name == name {
			about = append(about, e)
		}
	}
	slices.SortFunc(about, func(a, b corev1.Event) int { return a.FirstTimestamp.Compare(b.FirstTimestamp.Time) })
	return about
}

// kebab turns the name of a test into that of a namespace: TestOneThing/and_another becomes
// one-thing-and-another.
func kebab(name string) string {
	var b strings.Builder
	for n, c := range strings.TrimPrefix(name, "Test") {
		switch {
		case unicode.IsUpper(c) && n > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
			fallthrough
		case unicode.IsUpper(c), unicode.IsLower(c), unicode.IsDigit(c):
			b.WriteRune(unicode.ToLower(c))
		case !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	const most = 60
	text := b.String()
	return strings.Trim(text[:min(len(text), most)], "-")
}
