package cluster_test

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-dev/sluice/e2e/cluster"
)

// TestRequests counts calls by many workers at once, right after their answers, and
// compares the count with the API server's counters of a resource nobody else touches.
func TestRequests(t *testing.T) {
	config := shared.Config()
	config.UserAgent = "agent/1"
	api := client(t, config)
	before := snapshot(t)
	countedBefore := limitRangeRequests(t, api)

	const workers, each = 8, 25
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for i := range each {
				limits := applycorev1.LimitRange(fmt.Sprintf("l%d-%d", worker, i), "default")
				for _, dryRun := range [][]string{{metav1.DryRunAll}, nil} {
					if _, err := api.CoreV1().LimitRanges("default").Apply(t.Context(), limits, metav1.ApplyOptions{FieldManager: "test", DryRun: dryRun}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()

	got := snapshot(t).Since(before).By("agent/1").Of("limitranges")
	if writes, dryRuns := len(got.Writes()), len(got.DryRuns()); writes != workers*each || dryRuns != workers*each {
		t.Errorf("want %d writes and dry-runs, have %d and %d", workers*each, writes, dryRuns)
	}
	for _, request := range got {
		if request.Code != 201 || request.User != "admin" {
			t.Errorf("want a 201 to the administrator, have %+v", request)
		}
	}
	if counted := limitRangeRequests(t, api) - countedBefore; counted != len(got) {
		t.Errorf("the API server counted %d requests, the audit log has %d", counted, len(got))
	}
}

func TestRequestsAreToldApart(t *testing.T) {
	before := snapshot(t)
	config := shared.Config()
	config.UserAgent = "agent/2"
	config.Impersonate.UserName = "someone"
	config.Impersonate.Groups = []string{"system:masters"}
	api := client(t, config)

	if _, err := api.CoreV1().ConfigMaps("default").Get(t.Context(), "none", metav1.GetOptions{}); err == nil {
		t.Error("there is a ConfigMap none")
	}
	stream, err := api.CoreV1().Secrets("default").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Stop() // the watch is open while its request is counted

	got := snapshot(t).Since(before).By("agent/2")
	want := "get configmaps default/none 404\nwatch secrets default\n"
	if got.String() != want {
		t.Errorf("want\n%s have\n%s", want, got)
	}
	if len(got.Writes()) != 0 || len(got.Reads()) != 2 {
		t.Errorf("want two reads and no writes, have\n%s", got)
	}
	if got[0].As != "someone" || got[0].User != "admin" {
		t.Errorf("want admin as someone, have %+v", got[0])
	}
}

func snapshot(t *testing.T) cluster.Requests {
	t.Helper()
	requests, err := shared.Requests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return requests
}

var limitRangePatches = regexp.MustCompile(`(?m)^apiserver_request_total{[^}]*resource="limitranges"[^}]*verb="APPLY"[^}]*} (\d+)$`)

// limitRangeRequests is what the API server's own counters say.
func limitRangeRequests(t *testing.T, api kubernetes.Interface) int {
	t.Helper()
	metrics, err := api.Discovery().RESTClient().Get().AbsPath("/metrics").Do(context.Background()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, line := range limitRangePatches.FindAllSubmatch(metrics, -1) {
		count, err := strconv.Atoi(string(line[1]))
		if err != nil {
			t.Fatal(err)
		}
		total += count
	}
	return total
}
