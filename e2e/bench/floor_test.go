package bench_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/kustomize/api/krusty"
	kustomize "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// floorNamespace is where the floor applies what the agent applies to apps.
const floorNamespace = "floor"

// Floor is what the same change takes the simplest program that knows what has changed: git
// fetches into a bare mirror, Kustomize builds the one directory, and each object that must
// change is applied, 16 at once. It keeps no books, looks at nothing and waits for nothing.
type Floor struct {
	Seconds float64 `json:"seconds"` // all together, one after the other
	Fetch   float64 `json:"fetchSeconds"`
	Build   float64 `json:"buildSeconds"`
	Apply   float64 `json:"applySeconds"`
	Calls   int     `json:"calls"`
}

// floor does the work of the floor.
type floor struct {
	t         testing.TB
	url       string
	mirror    string
	depth     string
	namespace string // of everything, if it is not empty
	client    dynamic.Interface
	mapper    *restmapper.DeferredDiscoveryRESTMapper

	mu      sync.Mutex
	renewed time.Time
}

func newFloor(t testing.TB, config *rest.Config, url, namespace string) *floor {
	t.Helper()
	config.UserAgent = "floor"
	f := &floor{t: t, url: url, mirror: t.TempDir(), depth: "--depth=1", namespace: namespace}
	f.git("init", "--quiet", "--bare")
	var err error
	if f.client, err = dynamic.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	f.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(kinds))
	// Kustomize loads its schema once per process; that is not the floor's to pay.
	f.build(memoryOf(files{"a/kustomization.yaml": "namePrefix: a-\n", "a/b.yaml": object(0, 0, "")}), "a")
	return f
}

// memoryOf is a file system to build from.
func memoryOf(content files) filesys.FileSystem {
	fs := filesys.MakeFsInMemory()
	for path, text := range content {
		_ = fs.WriteFile("/"+path, []byte(text)) // memory takes everything
	}
	return fs
}

// under returns the files of a directory.
func under(content files, dir string) files {
	some := files{}
	for path, text := range content {
		if strings.HasPrefix(path, dir+"/") {
			some[path] = text
		}
	}
	return some
}

// do fetches, builds dirs, and applies the objects that changed says.
func (f *floor) do(fs filesys.FileSystem, dirs []string, changed func(*unstructured.Unstructured) bool) Floor {
	f.t.Helper()
	start := time.Now()
	f.git("fetch", "--quiet", f.depth, "--no-tags", f.url, "+main:main")
	f.depth = "--no-auto-maintenance" // from now on what is new
	fetched := time.Now()
	var objects []*unstructured.Unstructured
	for _, dir := range dirs {
		for _, o := range f.build(fs, "/"+dir) {
			if changed(o) { // the oracle that a floor may ask for free
				objects = append(objects, o)
			}
		}
	}
	built := time.Now()
	calls := f.apply(objects)
	end := time.Now()
	return Floor{Seconds: end.Sub(start).Seconds(), Fetch: fetched.Sub(start).Seconds(), Build: built.Sub(fetched).Seconds(), Apply: end.Sub(built).Seconds(), Calls: calls}
}

func (f *floor) git(arguments ...string) {
	f.t.Helper()
	cmd := exec.Command("git", arguments...)
	cmd.Dir = f.mirror
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1"}
	if out, err := cmd.CombinedOutput(); err != nil {
		f.t.Fatalf("git %v: %v: %s", arguments, err, out)
	}
}

func (f *floor) build(fs filesys.FileSystem, dir string) []*unstructured.Unstructured {
	f.t.Helper()
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = kustomize.LoadRestrictionsNone
	built, err := krusty.MakeKustomizer(options).Run(fs, dir)
	if err != nil {
		f.t.Fatal(err)
	}
	var objects []*unstructured.Unstructured
	for _, r := range built.Resources() {
		content, err := r.Map()
		if err != nil {
			f.t.Fatal(err)
		}
		o := &unstructured.Unstructured{Object: content}
		if f.namespace != "" {
			o.SetNamespace(f.namespace)
		}
		objects = append(objects, o)
	}
	return objects
}

// apply applies Namespaces and kinds first, as every program has to, and the rest after it. It
// returns the number of calls.
func (f *floor) apply(objects []*unstructured.Unstructured) int {
	f.t.Helper()
	var first, rest []*unstructured.Unstructured
	for _, o := range objects {
		switch o.GetKind() {
		case "Namespace", "CustomResourceDefinition":
			first = append(first, o)
		default:
			rest = append(rest, o)
		}
	}
	calls := f.wave(first)
	if len(first) > 0 {
		f.mapper.Reset() // there are new kinds
	}
	return calls + f.wave(rest)
}

// wave applies objects that need not wait for each other. What is not served yet, or has no
// namespace yet, is tried again.
func (f *floor) wave(objects []*unstructured.Unstructured) int {
	f.t.Helper()
	var calls atomic.Int64
	var group errgroup.Group
	group.SetLimit(16)
	for _, o := range objects {
		group.Go(func() error {
			for deadline := time.Now().Add(time.Minute); ; {
				calls.Add(1)
				err := f.one(o)
				if !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) || time.Now().After(deadline) {
					return err
				}
				time.Sleep(100 * time.Millisecond)
				f.renew()
			}
		})
	}
	if err := group.Wait(); err != nil {
		f.t.Fatal(err)
	}
	return int(calls.Load())
}

// renew has the kinds be asked for again, once for all who find one missing.
func (f *floor) renew() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.renewed) > 200*time.Millisecond {
		f.mapper.Reset()
		f.renewed = time.Now()
	}
}

func (f *floor) one(o *unstructured.Unstructured) error {
	mapping, err := f.mapper.RESTMapping(o.GroupVersionKind().GroupKind(), o.GroupVersionKind().Version)
	if err != nil {
		return err
	}
	var client dynamic.ResourceInterface = f.client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		client = f.client.Resource(mapping.Resource).Namespace(cmp.Or(o.GetNamespace(), "default"))
	}
	data, err := o.MarshalJSON()
	if err != nil {
		return err
	}
	force := true
	_, err = client.Patch(context.Background(), o.GetName(), types.ApplyPatchType, bytes.TrimSpace(data), metav1.PatchOptions{FieldManager: "floor", Force: &force})
	if err != nil {
		err = errors.Join(fmt.Errorf("apply %s %s", o.GetKind(), o.GetName()), err)
	}
	return err
}

// all is for changes that change everything.
func all(*unstructured.Unstructured) bool { return true }

// named is for changes of one object.
func named(name string) func(*unstructured.Unstructured) bool {
	return func(o *unstructured.Unstructured) bool { return o.GetName() == name }
}
