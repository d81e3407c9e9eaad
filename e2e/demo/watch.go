package main

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// follow has every object of a list seen as it is now, and again after each change, until see
// says that it is done. A watch that ends begins again with the list, so see may be shown the
// same state twice.
func follow[T client.Object](ctx context.Context, c client.WithWatch, list client.ObjectList, see func(T) (done bool), where ...client.ListOption) error {
	for {
		if err := c.List(ctx, list, where...); err != nil {
			return cause(ctx, err)
		}
		now, err := meta.ExtractList(list)
		if err != nil {
			return err
		}
		for _, object := range now {
			if see(object.(T)) {
				return nil
			}
		}
		since := &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}}
		changes, err := c.Watch(ctx, list, append(where[:len(where):len(where)], since)...)
		if err != nil {
			return cause(ctx, err)
		}
		done, err := drain(ctx, changes, see)
		changes.Stop()
		if done || err != nil {
			return err
		}
	}
}

// drain shows the changes of one watch until it ends.
func drain[T client.Object](ctx context.Context, changes watch.Interface, see func(T) (done bool)) (bool, error) {
	for {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case change, open := <-changes.ResultChan():
			switch {
			case !open:
				return false, nil
			case change.Type == watch.Error:
				if err := apierrors.FromObject(change.Object); !apierrors.IsResourceExpired(err) {
					return false, err
				}
				return false, nil
			case change.Type != watch.Deleted && see(change.Object.(T)):
				return true, nil
			}
		}
	}
}

// cause is why the context ended, which tells more than what failed because of it.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
