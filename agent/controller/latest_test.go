package controller

import (
	"context"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

// A Retraining is kept as it was written while the cache is behind, and no longer: thousands of them wait for a slot
// that is days away.
func TestWhatIsWrittenIsKeptUntilTheCacheHasIt(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	at := func(version string) *v1alpha1.Retraining {
		return &v1alpha1.Retraining{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "fraud", UID: "a", ResourceVersion: version}}
	}
	name := types.NamespacedName{Namespace: "ml", Name: "fraud"}
	after := func() {} // the cache was read
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(at("99")).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
			defer func() { after() }()
			return c.Get(ctx, key, o, options...)
		},
	}).Build()
	var l latest[v1alpha1.Retraining, *v1alpha1.Retraining]
	got := func() string {
		t.Helper()
		o, err := l.get(context.Background(), c, name)
		if err != nil {
			t.Fatal(err)
		}
		return o.ResourceVersion
	}
	comes := func(version string) {
		l.arrivals().Update(context.Background(), event.UpdateEvent{ObjectOld: at("99"), ObjectNew: at(version)}, nil)
	}

	l.remember(c, at("101"))
	if got() != "101" {
		t.Error("what was written is not known while the cache is behind")
	}
	if comes("100"); got() != "101" {
		t.Error("what was written is not known when the cache has what was before")
	}
	after = func() { comes("101") }
	if got() != "101" {
		t.Error("what was written is not known to a pass that read the cache just before the cache had it")
	}
	after = func() {}
	if len(l.kept) > 0 {
		t.Error("what was written is kept though the cache has it")
	}
	if l.remember(c, at("99")); len(l.kept) > 0 {
		t.Error("what was written is kept though the cache had it before the answer came")
	}
}
