package cluster_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/e2e/cluster"
)

// shared is the cluster of the tests that leave it as it was.
var shared *cluster.Cluster

func TestMain(m *testing.M) {
	if dir := os.Getenv("CLUSTER_TEST_VICTIM"); dir != "" {
		victim(dir)
	}
	os.Exit(func() int {
		c, err := cluster.Start(context.Background(), cluster.Options{Progress: os.Stderr})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer c.Stop()
		shared = c
		return m.Run()
	}())
}

func client(t testing.TB, config *rest.Config) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// start runs a cluster for one test.
func start(t *testing.T, o cluster.Options) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// eventually fails the test when ok does not come true within half a minute.
func eventually(t *testing.T, what string, ok func(context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 30*time.Second, true, ok); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func TestStart(t *testing.T) {
	api := client(t, shared.Config())
	version, err := api.Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if version.GitVersion != cluster.KubernetesVersion {
		t.Errorf("the server reports version %s, want %s", version.GitVersion, cluster.KubernetesVersion)
	}
	nodes, err := api.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(nodes.Items) != 1 || len(nodes.Items[0].Spec.Taints) != 0 {
		t.Errorf("want one node without taints, have %v", nodes.Items)
	}
	service, err := api.CoreV1().Services("default").Get(t.Context(), "kubernetes", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(service.Spec.ClusterIP, "127.") {
		t.Errorf("Services have addresses off loopback: %s", service.Spec.ClusterIP)
	}
}

func TestDeploymentBecomesAvailable(t *testing.T) {
	api := client(t, shared.Config())
	began := time.Now()
	deploy(t, api, "web", nil)
	eventually(t, "three pods available", func(ctx context.Context) (bool, error) {
		d, err := api.AppsV1().Deployments("default").Get(ctx, "web", metav1.GetOptions{})
		return err == nil && d.Status.AvailableReplicas == 3, err
	})
	t.Logf("available after %s", time.Since(began).Round(time.Millisecond))
}

// What a container of a Job ends with is in the status of its pod, whether it has failed or not.
func TestJobsSayTheirLast(t *testing.T) {
	api := client(t, shared.Config())
	const last = `{"uri": "s3://models/fraud/v8/", "metrics": {"auc": "0.941"}}`
	for name, fate := range map[string]string{"says-complete": "", "says-failed": "Fail"} {
		job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: batchv1.JobSpec{
			BackoffLimit: new(int32(0)),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"fake.sluice.dev/pod": fate, "fake.sluice.dev/termination-message": last}},
				Spec:       corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "main", Image: "none"}}},
			},
		}}
		if _, err := api.BatchV1().Jobs("default").Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the Job is over, and has said so", func(ctx context.Context) (bool, error) {
			pods, err := api.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "job-name=" + name})
			if err != nil || len(pods.Items) != 1 || len(pods.Items[0].Status.ContainerStatuses) == 0 {
				return false, err
			}
			ended := pods.Items[0].Status.ContainerStatuses[0].State.Terminated
			return ended != nil && ended.Message == last && (ended.ExitCode == 0) == (fate == ""), nil
		})
	}
}

func TestPodsCrashOnRequest(t *testing.T) {
	api := client(t, shared.Config())
	deploy(t, api, "crash", map[string]string{"fake.sluice.dev/pod": "Crash"})
	eventually(t, "a pod in CrashLoopBackOff", func(ctx context.Context) (bool, error) {
		pods, err := api.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=crash"})
		if err != nil || len(pods.Items) != 3 || len(pods.Items[0].Status.ContainerStatuses) == 0 {
			return false, err
		}
		waiting := pods.Items[0].Status.ContainerStatuses[0].State.Waiting
		return waiting != nil && waiting.Reason == "CrashLoopBackOff", nil
	})
}

// deploy creates a Deployment of three pods.
func deploy(t *testing.T, api kubernetes.Interface, name string, annotations map[string]string) {
	t.Helper()
	replicas, labels := int32(3), map[string]string{"app": name}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: annotations},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}},
			},
		},
	}
	if _, err := api.AppsV1().Deployments("default").Create(t.Context(), deployment, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := api.AppsV1().Deployments("default").Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
}

func TestSideBySide(t *testing.T) {
	other := start(t, cluster.Options{Nodes: -1})
	putConfigMap(t, client(t, other.Config()), "mine")
	_, err := client(t, shared.Config()).CoreV1().ConfigMaps("default").Get(t.Context(), "mine", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("an object created in one cluster is in the other: %v", err)
	}
}

func TestServedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep", 30)) // more than a Unix socket's path may have
	first, err := cluster.Start(t.Context(), cluster.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	putConfigMap(t, client(t, first.Config()), "kept")
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}

	address, err := url.Parse(first.Config().Host)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		t.Fatal(err)
	}
	start(t, cluster.Options{Dir: dir, Port: port})
	if _, err := client(t, first.Config()).CoreV1().ConfigMaps("default").Get(t.Context(), "kept", metav1.GetOptions{}); err != nil {
		t.Errorf("with the kubeconfig of the first start: %v", err)
	}
}

func TestPause(t *testing.T) {
	c := start(t, cluster.Options{})
	api := client(t, c.Config())
	if err := c.Pause("kube-apiserver"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := api.CoreV1().Nodes().List(ctx, metav1.ListOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("want a paused API server not to answer, have %v", err)
	}
	if err := c.Resume("kube-apiserver"); err != nil {
		t.Fatal(err)
	}
	if _, err := api.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
}

func putConfigMap(t *testing.T, api kubernetes.Interface, name string) {
	t.Helper()
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := api.CoreV1().ConfigMaps("default").Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestFailureShowsTheLog(t *testing.T) {
	_, err := cluster.Start(t.Context(), cluster.Options{APIServerFlags: []string{"--no-such-flag=1"}})
	if err == nil || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Errorf("want the API server's own words, have: %v", err)
	}
}

func TestDirectoryHasOneCluster(t *testing.T) {
	_, err := cluster.Start(t.Context(), cluster.Options{Dir: shared.Dir})
	if err == nil || !strings.Contains(err.Error(), "runs in "+shared.Dir+" already") {
		t.Errorf("want the directory to be taken, have: %v", err)
	}
	if err := shared.Simulate(t.Context(), "none", ""); err == nil || strings.Contains(err.Error(), "no control plane is ready") {
		t.Errorf("the cluster that runs is no longer ready: %v", err)
	}
}

func TestVersionIsTheModules(t *testing.T) {
	content, err := os.ReadFile("../controlplane/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	required := regexp.MustCompile(`k8s\.io/kubernetes (v\S+)`).FindSubmatch(content)
	if required == nil || string(required[1]) != cluster.KubernetesVersion {
		t.Errorf("e2e/controlplane/go.mod requires k8s.io/kubernetes %s, KubernetesVersion is %s", required[1], cluster.KubernetesVersion)
	}
}

// victim is another process with a cluster of its own. It ends by being killed.
func victim(dir string) {
	c, err := cluster.Start(context.Background(), cluster.Options{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("up")
	<-c.Done()
}

func TestKillLeavesNoOrphans(t *testing.T) {
	dir := t.TempDir()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), "CLUSTER_TEST_VICTIM="+dir)
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(output).ReadString('\n'); line != "up\n" {
		t.Fatalf("the victim's cluster did not start: %q, %v", line, err)
	}
	pids := components(t, dir)
	if len(pids) != 4 {
		t.Fatalf("want 4 components to run, have %v", pids)
	}
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
	eventually(t, "components end with the process that started them", func(context.Context) (bool, error) {
		for _, pid := range pids {
			if syscall.Kill(pid, 0) == nil && !zombie(pid) {
				return false, nil
			}
		}
		return true, nil
	})
}

// components returns the process ids of a cluster's components.
func components(t *testing.T, dir string) []int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "run", "*.pid"))
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(string(content))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// zombie tells of a process that has ended but that nobody has asked how, as happens in a
// container without an init process.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}
