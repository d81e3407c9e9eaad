package render_test

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/sluice-dev/sluice/agent/render"
)

// small is an overlay of five ConfigMaps. With a prefix Kustomize builds it; without one there
// is nothing to build.
func small(prefix string) fstest.MapFS {
	tree := fstest.MapFS{"kustomization.yaml": text(prefix + "resources: [c0.yaml, c1.yaml, c2.yaml, c3.yaml, c4.yaml]\n")}
	for n := range 5 {
		tree[fmt.Sprintf("c%d.yaml", n)] = text(fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%d}\ndata: {k: v}\n", n))
	}
	return tree
}

const prefixed = "namePrefix: p-\n"

// BenchmarkSmall is a render in this process.
func BenchmarkSmall(b *testing.B) {
	for name, prefix := range map[string]string{"listed": "", "built": prefixed} {
		tree := onDisk(b, onDiskCopy(b, small(prefix)))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := render.Render(tree, render.Spec{Path: "."}, render.DefaultLimits()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPool is the same by a worker, from the request to the result.
func BenchmarkPool(b *testing.B) {
	for name, prefix := range map[string]string{"listed": "", "built": prefixed} {
		r := request("")
		r.Source.Dir = onDiskCopy(b, small(prefix))
		b.Run(name, func(b *testing.B) {
			pool := newPool(b, 1, workerLimits)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := pool.Run(b.Context(), r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPoolStart is the first render of a new worker.
func BenchmarkPoolStart(b *testing.B) {
	for name, prefix := range map[string]string{"listed": "", "built": prefixed} {
		r := request("")
		r.Source.Dir = onDiskCopy(b, small(prefix))
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				pool := render.NewPool([]string{self(b), "worker"}, 1, workerLimits)
				if _, err := pool.Run(b.Context(), r); err != nil {
					b.Fatal(err)
				}
				pool.Close()
			}
		})
	}
}
