package result_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/sluice-dev/sluice/agent/result"
	"github.com/sluice-dev/sluice/e2e/objectstore"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// TestMain makes the tests independent of what this machine knows of the stores.
func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "AWS_") {
			os.Unsetenv(name)
		}
	}
	os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, variable := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		os.Setenv(variable, os.DevNull)
	}
	os.Exit(m.Run())
}

// world is a real S3 server with a bucket, and a namespace.
type world struct {
	*testing.T
	store   *objectstore.Server
	objects []client.Object
	fails   error // of the API server
}

const bucket = "models"

func newWorld(t *testing.T, files map[string]string) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the S3 server")
	}
	store, err := objectstore.Start(t.Context(), objectstore.Options{Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Stop(); err != nil {
			t.Error(err)
		}
	})
	secret := store.Secret("fraud", "models-s3")
	secret.Data = map[string][]byte{} // as the API server has it
	for name, value := range secret.StringData {
		secret.Data[name] = []byte(value)
	}
	secret.StringData = nil
	w := &world{T: t, store: store, objects: []client.Object{secret}}
	if err := store.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	w.put(files)
	return w
}

func (w *world) put(files map[string]string) {
	w.Helper()
	for name, content := range files {
		if err := w.store.Put(w.Context(), bucket, name, strings.NewReader(content)); err != nil {
			w.Fatal(err)
		}
	}
}

// read reads a result as the agent does.
func (w *world) read(s result.Source) (result.Result, error) { return w.readFor(w.Context(), s) }

func (w *world) readFor(ctx context.Context, s result.Source) (result.Result, error) {
	w.Helper()
	live := fake.NewClientBuilder().WithObjects(w.objects...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
			if w.fails != nil {
				return w.fails
			}
			return c.Get(ctx, key, o, options...)
		},
	}).Build()
	limits := artifact.DefaultLimits()
	limits.Stall = time.Second
	s.Namespace, s.Model = "fraud", "fraud"
	found, err := result.Reader{Inspector: artifact.NewInspector(limits), Live: live}.Read(ctx, s)
	if err != nil && strings.Contains(err.Error(), w.store.SecretKey) {
		w.Errorf("the error shows a secret: %v", err)
	}
	return found, err
}

var secretRef = &meta.LocalObjectReference{Name: "models-s3"}

// document is a source of a document in the store.
func document(uri string) result.Source {
	return result.Source{Spec: v1alpha1.ResultSpec{Artifact: &v1alpha1.ResultArtifact{URI: uri, SecretRef: secretRef}}}
}

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "fraud", Name: name}, Data: data}
}

func sum(content string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(content))) }

// of is the digest of a directory with one file.
func of(name, content string) string {
	return "sha256:" + sum(fmt.Sprintf("%s  %d  %s\n", sum(content), len(content), name))
}

// TestSources: the same result from each source there is.
func TestSources(t *testing.T) {
	text := `{"model": "fraud", "uri": "s3://models/fraud/v12", "metrics": {"auc": 0.9410}, "format": {"name": "sklearn"}, "dataset": "s3://data/"}`
	w := newWorld(t, map[string]string{"fraud/v12/model.bin": "weights", "runs/1/result.json": text})
	w.objects = append(w.objects, configMap("result-1", map[string]string{"result.json": text}))
	for name, s := range map[string]result.Source{
		"artifact":            document("s3://models/runs/1/result.json"),
		"configMap":           {Spec: v1alpha1.ResultSpec{ConfigMap: "result-1", SecretRef: secretRef}},
		"termination message": {Spec: v1alpha1.ResultSpec{TerminationMessage: true, SecretRef: secretRef}, Message: text},
	} {
		got, err := w.read(s)
		want := v1alpha1.Artifact{URI: "s3://models/fraud/v12/", Digest: of("model.bin", "weights"), Size: new(int64(7)), SecretRef: secretRef}
		if err != nil || !reflect.DeepEqual(got.Artifact, want) || got.Metrics["auc"] != "0.9410" || got.Format.Name != "sklearn" || got.Lineage.Dataset != "s3://data/" {
			t.Errorf("%s: %v, found %+v", name, err, got)
		}
	}
	got, err := w.read(result.Source{
		Spec:    v1alpha1.ResultSpec{Outputs: &v1alpha1.ResultOutputs{URI: "model", SecretRef: secretRef, Metrics: map[string]string{"auc": "auc"}}},
		Outputs: map[string]string{"model": "s3://models/fraud/v12/model.bin", "auc": "0.9410"},
	})
	want := v1alpha1.Artifact{URI: "s3://models/fraud/v12/model.bin", Digest: "sha256:" + sum("weights"), Size: new(int64(7)), SecretRef: secretRef}
	if err != nil || !reflect.DeepEqual(got.Artifact, want) || got.Model != "fraud" || got.Metrics["auc"] != "0.9410" {
		t.Errorf("outputs: %v, found %+v", err, got)
	}
	// What is not read is as it is said to be.
	got, err = w.read(result.Source{Spec: v1alpha1.ResultSpec{TerminationMessage: true}, Message: "uri: pvc://claim/v12\nsize: 7\n"})
	if err != nil || got.Artifact.URI != "pvc://claim/v12" || *got.Artifact.Size != 7 || got.Artifact.Digest != "" {
		t.Errorf("pvc: %v, found %+v", err, got)
	}
}

// kind of an error, for who decides what to do about it.
func kind(err error) string {
	e, is := errors.AsType[*result.Error](err)
	switch {
	case err == nil:
		return "none"
	case !is:
		return fmt.Sprintf("%T", err)
	case e.Missing:
		return "missing"
	case e.Temporary():
		return "temporary"
	}
	return "final"
}

func TestBadResults(t *testing.T) {
	w := newWorld(t, map[string]string{
		"fraud/v12/model.bin": "weights", "large.json": `{"uri": "s3://models/fraud/v12/"}` + strings.Repeat(" ", 1<<20), "page.json": "<html>", "nan.json": `{"uri": "s3://models/fraud/v12/", "metrics": {"auc": NaN}}`,
		"other.json":   `{"uri": "s3://models/fraud/v12/", "model": "churn"}`,
		"digest.json":  `{"uri": "s3://models/fraud/v12/", "digest": "` + digest + `"}`,
		"size.json":    `{"uri": "s3://models/fraud/v12/", "size": 8}`,
		"words.json":   `{"uri": "s3://models/fraud/v12/", "digest": "good"}`,
		"gone.json":    `{"uri": "s3://models/fraud/v13/"}`,
		"bucket.json":  `{"uri": "s3://others/fraud/v13/"}`,
		"user.json":    `{"uri": "s3://ada:hush@models/fraud/v12/"}`,
		"unknown.json": `{"uri": "s3://models/fraud/v12/", "accuracy": 0.9}`,
		"dir.json/x":   "",
	})
	w.objects = append(w.objects, configMap("empty", nil), configMap("page", map[string]string{"result.json": "<html>"}))
	in := func(name string) result.Source { return document("s3://models/" + name) }
	inConfigMap := func(name string) result.Source {
		return result.Source{Spec: v1alpha1.ResultSpec{ConfigMap: name, SecretRef: secretRef}}
	}
	message := func(text string) result.Source {
		return result.Source{Spec: v1alpha1.ResultSpec{TerminationMessage: true, SecretRef: secretRef}, Message: text}
	}
	for name, test := range map[string]struct {
		source     result.Source
		kind, says string
	}{
		"missing":            {in("result.json"), "missing", "the result s3://models/result.json: there is neither an object of this name nor anything below it"},
		"no bucket":          {document("s3://nowhere/result.json"), "missing", "there is no bucket nowhere"},
		"large":              {in("large.json"), "final", "the result s3://models/large.json: it has 1048609 bytes, and at most 1048576 are read"},
		"not JSON":           {in("page.json"), "final", "s3://models/page.json: it is no object: write fields and their values"},
		"NaN":                {in("nan.json"), "final", `s3://models/nan.json: the metric auc is "NaN", which is no decimal number: write it as 0.941`},
		"another model":      {in("other.json"), "final", "s3://models/other.json: it names another model, churn, and this is a run of fraud"},
		"digest":             {in("digest.json"), "final", "the artifact s3://models/fraud/v12/: its digest is " + of("model.bin", "weights") + ", and the result says " + digest},
		"size":               {in("size.json"), "final", "the artifact s3://models/fraud/v12/: it has 7 bytes, and the result says 8"},
		"digest of words":    {in("words.json"), "final", "and the result says good: have the run say what sluice model digest says"},
		"no artifact":        {in("gone.json"), "missing", "the artifact s3://models/fraud/v13/: there is nothing below it"},
		"no bucket of it":    {in("bucket.json"), "missing", "the artifact s3://others/fraud/v13/: there is no bucket others"},
		"credentials in it":  {in("user.json"), "final", "s3://models/user.json: s3://models/fraud/v12/: the URI must not have credentials"},
		"unknown field":      {in("unknown.json"), "final", "it has a field accuracy, which is none of model,"},
		"a directory":        {in("dir.json"), "final", "there is no object of this name, but there are some below it"},
		"a prefix":           {in("fraud/"), "final", "the URI ends in a slash"},
		"bad URI":            {document("s3://ada:hush@models/result.json"), "final", "spec.result.artifact.uri: s3://models/result.json: the URI must not have credentials"},
		"no Secret":          {result.Source{Spec: v1alpha1.ResultSpec{Artifact: &v1alpha1.ResultArtifact{URI: "s3://models/nan.json", SecretRef: &meta.LocalObjectReference{Name: "gone"}}}}, "temporary", "Secret gone, which secretRef names, is not there: create it"},
		"no identity":        {result.Source{Spec: v1alpha1.ResultSpec{Artifact: &v1alpha1.ResultArtifact{URI: "s3://models/nan.json"}}}, "final", "this process has no credentials for S3: name a Secret in secretRef"},
		"no ConfigMap":       {inConfigMap("gone"), "missing", "ConfigMap gone, which is to have the result, is not there: have the run create it"},
		"no key":             {inConfigMap("empty"), "missing", "ConfigMap empty has no key result.json"},
		"page in ConfigMap":  {inConfigMap("page"), "final", "result.json of ConfigMap page: it is no object"},
		"no name":            {inConfigMap("../secrets/x"), "final", `spec.result.configMap is "../secrets/x", which is no name of a ConfigMap`},
		"no message":         {message(""), "missing", "the pod of the run has left no termination message"},
		"message":            {message("panic: killed"), "final", "the termination message of the run: it has a field panic, which is none of"},
		"message cut off":    {message(`{"uri": "s3://models/fraud/v12/", "dataset": "` + strings.Repeat("x", 4096-46)), "final", "Kubernetes cuts it off after 4096 bytes"},
		"message with a lie": {message(`{"uri": "s3://models/fraud/v12/", "digest": "` + digest + `"}`), "final", "its digest is " + of("model.bin", "weights")},
		"no outputs":         {result.Source{Spec: v1alpha1.ResultSpec{Outputs: &v1alpha1.ResultOutputs{URI: "model"}}, Outputs: map[string]string{"url": "x"}}, "final", "the outputs of the run: there is no output model, which spec.result.outputs.uri names: the run has url"},
		"nothing":            {result.Source{}, "final", "spec.result says nothing: give it one of artifact, outputs, configMap and terminationMessage"},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := w.read(test.source)
			if kind(err) != test.kind || !strings.Contains(fmt.Sprint(err), test.says) {
				t.Errorf("%s: %v\nwant %s: %s", kind(err), err, test.kind, test.says)
			}
			if strings.Contains(fmt.Sprintf("%+v %+v", err, found.Artifact), "hush") {
				t.Errorf("a password is shown: %v, %+v", err, found)
			}
		})
	}
}

// TestTrouble: what passes by itself is told from what does not.
func TestTrouble(t *testing.T) {
	w := newWorld(t, map[string]string{"m/model.bin": strings.Repeat("x", 100_000), "result.json": `{"uri": "s3://models/m/"}`})
	// listing is a listing that says what it likes of one object, and read what is sent for it.
	lying := func(size string, read objectstore.Fault) objectstore.Fault {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Has("list-type") {
					fmt.Fprintf(rw, `<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>result.json</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><Size>%s</Size></Contents></ListBucketResult>`, size)
					return
				}
				read(next).ServeHTTP(rw, r)
			})
		}
	}
	ofArtifact := func(f objectstore.Fault) objectstore.Fault {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/model.bin") {
					next = f(next)
				}
				next.ServeHTTP(rw, r)
			})
		}
	}
	endless := objectstore.Endless(`{"uri": "s3://models/m/", "dataset": "`, strings.Repeat("x", 1<<16))
	for name, test := range map[string]struct {
		fault      objectstore.Fault
		kind, says string
	}{
		"1 GB":                   {lying("1073741824", endless), "final", "the result s3://models/result.json: it has 1073741824 bytes, and at most 1048576 are read"},
		"1 GB that says 12":      {lying("12", endless), "final", "the result s3://models/result.json: it has more than 1048576 bytes"},
		"down":                   {objectstore.Down(), "temporary", "the result s3://models/result.json: the store broke the connection off"},
		"503":                    {objectstore.Status(503), "temporary", "the store has trouble (503"},
		"403":                    {objectstore.Status(403), "final", "the store does not let it be read with the credentials given (403"},
		"silent":                 {objectstore.Silent(), "temporary", "the store made no progress for 1s"},
		"artifact: down":         {ofArtifact(objectstore.Down()), "temporary", "the artifact s3://models/m/: model.bin: the store broke the connection off"},
		"artifact: 403":          {ofArtifact(objectstore.Status(403)), "final", "the artifact s3://models/m/: model.bin: the store does not let it be read"},
		"artifact: being filled": {ofArtifact(objectstore.Status(404)), "temporary", "it is gone since it was listed"},
	} {
		w.store.Misbehave(test.fault)
		_, err := w.read(document("s3://models/result.json"))
		if kind(err) != test.kind || !strings.Contains(fmt.Sprint(err), test.says) {
			t.Errorf("%s: %s: %v\nwant %s: %s", name, kind(err), err, test.kind, test.says)
		}
	}
	w.store.Misbehave(nil)
	if found, err := w.read(document("s3://models/result.json")); err != nil || *found.Artifact.Size != 100_000 {
		t.Errorf("mended: %+v, %v", found, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.readFor(ctx, document("s3://models/result.json")); kind(err) != "temporary" || !errors.Is(err, context.Canceled) {
		t.Errorf("broken off: %s: %v", kind(err), err)
	}
	fromServer := result.Source{Spec: v1alpha1.ResultSpec{ConfigMap: "result-1"}}
	resource := schema.GroupResource{Resource: "configmaps"}
	for want, fails := range map[string][]error{
		"temporary": {errors.New("connection refused"), apierrors.NewServiceUnavailable("etcd"), apierrors.NewTooManyRequests("slow", 1), apierrors.NewUnauthorized("a new token")},
		"final":     {apierrors.NewForbidden(resource, "result-1", errors.New("no")), apierrors.NewBadRequest("no")},
		"missing":   {apierrors.NewNotFound(resource, "result-1")},
	} {
		for _, w.fails = range fails {
			if _, err := w.read(fromServer); kind(err) != want || !strings.HasPrefix(fmt.Sprint(err), "ConfigMap result-1") {
				t.Errorf("%v: %s: %v, want %s", w.fails, kind(err), err, want)
			}
		}
	}
	w.fails = errors.New("connection refused")
	if _, err := w.read(document("s3://models/result.json")); kind(err) != "temporary" || !strings.Contains(fmt.Sprint(err), "Secret models-s3 cannot be read: connection refused") {
		t.Errorf("no Secret: %s: %v", kind(err), err)
	}
}
