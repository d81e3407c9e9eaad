package node_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-dev/sluice/e2e/bucket"
	"github.com/sluice-dev/sluice/e2e/trainer/logistic"
)

// trainerJob runs a training as people do who have no Retrainings: a Job, by hand. What a Retraining
// is to run works on this node by itself.
func trainerJob(t *testing.T, s *story) {
	w := newWorkshop(s)
	s.accounts()
	w.credentials()
	w.deliver("rows/1.csv", business.Example(columns, 1, 200))
	w.deliver("wrong/1.csv", "amount,hour,label\n1,2,0\n1,late,1\n")

	s.step("kubectl apply of a Job; it reads the rows, and leaves a model with its result")
	s.apply(w.job("good", "s3://data/rows/"))
	s.wait("job/good", "condition=Complete")
	w.wantTrained("good/", "good", business.Example(columns, 1, 200))

	s.step("a row is wrong; the Job fails, its Pod says which, and nothing is left")
	s.apply(w.job("bad", "s3://data/wrong/"))
	s.wait("job/bad", "condition=Failed")
	var pods corev1.PodList
	s.must(w.api.List(t.Context(), &pods, client.InNamespace(s.namespace), client.MatchingLabels{"batch.kubernetes.io/job-name": "bad"}))
	if len(pods.Items) != 1 || !strings.Contains(lastWords(pods.Items[0]), `1.csv: line 3: hour is "late", which is no number`) {
		t.Errorf("%d Pods, which say %s", len(pods.Items), s.kubectl("logs", "job/bad", "-n", s.namespace))
	}
	left, err := w.objects.List(t.Context(), bucketOfModels, "bad/")
	if err != nil || len(left) != 0 {
		t.Errorf("it has left %v, %v", left, err)
	}
}

// business is what the rows go by.
var (
	columns  = []string{"amount", "hour", "abroad", "age", "limit", "refunds"}
	business = logistic.Model{Weights: []float64{2, -1.5, 1, 0.5, -0.5, 0}, Bias: -0.3}
)

// workshop is where a model is trained: rows in one bucket, models in another.
type workshop struct {
	*model
	objects bucket.Store
}

const bucketOfRows = "data"

func newWorkshop(s *story) *workshop {
	s.t.Helper()
	image(s.t, s.node, "-package", "./e2e/trainer", "-name", "example.com/trainer", "-version", "v1")
	w := &workshop{model: newModel(s)}
	s.must(w.store.CreateBucket(s.t.Context(), bucketOfRows))
	access := map[string]string{
		"AWS_ENDPOINT_URL_S3": w.store.Endpoint, "AWS_ACCESS_KEY_ID": w.store.AccessKey, "AWS_SECRET_ACCESS_KEY": w.store.SecretKey,
	}
	w.objects = bucket.Open(func(name string) string { return access[name] })
	return w
}

// deliver puts a file of rows into its bucket.
func (w *workshop) deliver(name, rows string) {
	w.t.Helper()
	w.must(w.store.Put(w.t.Context(), bucketOfRows, name, strings.NewReader(rows)))
}

func (w *workshop) job(name, data string) string {
	return fmt.Sprintf(`
apiVersion: batch/v1
kind: Job
metadata: {name: %s, namespace: %s}
spec:
%s
`, name, w.namespace, indent(w.jobSpec(data, "s3://"+bucketOfModels+"/"+name+"/", name)))
}

// jobSpec is that of a Job that trains.
func (w *workshop) jobSpec(data, run, version string) string {
	return fmt.Sprintf(`backoffLimit: 0
template:
  spec:
    restartPolicy: Never
    automountServiceAccountToken: false
    enableServiceLinks: false
    containers:
    - name: trainer
      image: example.com/trainer:v1
      imagePullPolicy: IfNotPresent
      terminationMessagePolicy: FallbackToLogsOnError
      env:
      - {name: DATA_URI, value: %q}
      - {name: RUN_URI, value: %q}
      - {name: MODEL_VERSION, value: %q}
      - {name: AWS_ENDPOINT_URL_S3, value: %q}
      - {name: AWS_REGION, value: us-east-1}
      - {name: AWS_ACCESS_KEY_ID, valueFrom: {secretKeyRef: {name: store, key: AWS_ACCESS_KEY_ID}}}
      - {name: AWS_SECRET_ACCESS_KEY, valueFrom: {secretKeyRef: {name: store, key: AWS_SECRET_ACCESS_KEY}}}
`, data, run, version, w.store.Endpoint)
}

// wantTrained wants a run to have left the model that these rows give, and to say so. It returns the
// model, and what was measured.
func (w *workshop) wantTrained(run, version string, files ...string) (logistic.Model, map[string]string) {
	w.t.Helper()
	var left struct {
		Version string
		logistic.Model
	}
	digest := w.read(run+"model.json", &left)
	var said struct {
		URI, Digest string
		Metrics     map[string]string
	}
	w.read(run+"result.json", &said)
	model, metrics := w.train(files)
	if left.Version != version || !reflect.DeepEqual(left.Model, model) {
		w.t.Errorf("it has left %+v, and these rows give %+v", left, model)
	}
	if said.URI != "s3://"+bucketOfModels+"/"+run+"model.json" || said.Digest != digest || !maps.Equal(said.Metrics, metrics) {
		w.t.Errorf("it says %+v, and should have the digest %s and the metrics %v", said, digest, metrics)
	}
	return model, metrics
}

// read reads what a run has left, and returns its digest.
func (w *workshop) read(key string, into any) string {
	w.t.Helper()
	content, err := w.objects.Get(w.t.Context(), bucketOfModels, key, 1<<20)
	w.must(err)
	if err := json.Unmarshal(content, into); err != nil {
		w.t.Fatalf("%s: %v\n%s", key, err, content)
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(content))
}

// train does here what the Job does.
func (w *workshop) train(files []string) (logistic.Model, map[string]string) {
	w.t.Helper()
	var rows logistic.Table
	for _, file := range files {
		table, err := logistic.Read("rows", strings.NewReader(file))
		w.must(err)
		w.must(rows.Join(table))
	}
	training, held := rows.Split(1)
	model, err := logistic.Train(training.Rows)
	w.must(err)
	metrics, err := model.Measure(held.Rows)
	w.must(err)
	said := map[string]string{}
	for name, value := range map[string]float64{"accuracy": metrics.Accuracy, "logloss": metrics.LogLoss, "auc": metrics.AUC} {
		said[name] = fmt.Sprintf("%.4f", value)
	}
	return model, said
}
