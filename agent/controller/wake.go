package controller

import (
	"context"
	gosync "sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// waker is a source of a controller that other parts of the agent use to have an object
// reconciled. What is woken before the controller has started is reconciled when it starts.
type waker struct {
	mu    gosync.Mutex
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
	early []types.NamespacedName
}

// Start makes waker a source of a controller.
func (w *waker) Start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = queue
	for _, name := range w.early {
		queue.Add(reconcile.Request{NamespacedName: name})
	}
	w.early = nil
	return nil
}

// wake queues an object after a delay. Several wakes of one object within the delay are one.
func (w *waker) wake(name types.NamespacedName, after time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.queue == nil {
		w.early = append(w.early, name)
		return
	}
	w.queue.AddAfter(reconcile.Request{NamespacedName: name}, after)
}
