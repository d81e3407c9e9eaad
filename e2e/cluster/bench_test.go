package cluster_test

import (
	"fmt"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/sluice-dev/sluice/e2e/cluster"
)

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		c, err := cluster.Start(b.Context(), cluster.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := c.Stop(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkApply is how fast the API server takes a thousand new objects: the ceiling of any
// agent.
func BenchmarkApply(b *testing.B) {
	const objects = 1000
	round := 0
	for _, workers := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			api := client(b, shared.Config()).CoreV1().ConfigMaps("default")
			for b.Loop() {
				round++
				var group sync.WaitGroup
				for worker := range workers {
					group.Go(func() {
						for i := worker; i < objects; i += workers {
							object := applycorev1.ConfigMap(fmt.Sprintf("bench-%d-%d", round, i), "default")
							if _, err := api.Apply(b.Context(), object, metav1.ApplyOptions{FieldManager: "bench"}); err != nil {
								b.Error(err)
							}
						}
					})
				}
				group.Wait()
			}
			b.ReportMetric(float64(objects*b.N)/b.Elapsed().Seconds(), "objects/s")
		})
	}
}
