package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/result"
	"github.com/sluice-dev/sluice/e2e/bucket"
	"github.com/sluice-dev/sluice/e2e/objectstore"
	"github.com/sluice-dev/sluice/e2e/trainer/logistic"
)

// TestMain lets the tests start this program as a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("DATA_URI") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// site is an object store with buckets for data and models.
type site struct {
	t      *testing.T
	server *objectstore.Server
	store  bucket.Store
	access []string
}

func newSite(t *testing.T) *site {
	t.Helper()
	server, err := objectstore.Start(t.Context(), objectstore.Options{Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"data", "models"} {
		if err := server.CreateBucket(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	access := map[string]string{"AWS_ENDPOINT_URL_S3": server.Endpoint, "AWS_ACCESS_KEY_ID": server.AccessKey, "AWS_SECRET_ACCESS_KEY": server.SecretKey}
	s := &site{t: t, server: server, store: bucket.Open(func(name string) string { return access[name] })}
	for name, value := range access {
		s.access = append(s.access, name+"="+value)
	}
	return s
}

func (s *site) put(key, content string) {
	s.t.Helper()
	if err := s.server.Put(s.t.Context(), "data", key, strings.NewReader(content)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) get(key string) []byte {
	s.t.Helper()
	content, err := s.store.Get(s.t.Context(), "models", key, 1<<20)
	if err != nil {
		s.t.Fatal(err)
	}
	return content
}

// run runs the program, with variables that may replace others.
func (s *site) run(variables ...string) (output string, err error) {
	s.t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), "DATA_URI=s3://data/fraud/", "RUN_URI=s3://models/fraud/v8/", "MODEL_VERSION=v8")
	command.Env = append(append(command.Env, s.access...), variables...)
	said, err := command.CombinedOutput()
	return string(said), err
}

// rows are some by which yes and no can be told apart, but for some noise.
func rows(seed uint64, count int) string {
	return logistic.Model{Weights: []float64{2, -1}}.Example([]string{"amount", "hour"}, seed, count)
}

// TestRun trains, and then with more rows.
func TestRun(t *testing.T) {
	s := newSite(t)
	s.put("fraud/1.csv", rows(1, 40))
	s.put("fraud/old/0.csv", rows(2, 40))
	s.put("fraud-old/0.csv", "not,of,these\n")
	if err := s.server.PutMarker(t.Context(), "data", "fraud/new/"); err != nil {
		t.Fatal(err)
	}
	output, err := s.run()
	if err != nil || !strings.Contains(output, "training with s3://data/fraud/, 80 rows, sha256:") {
		t.Fatalf("%v\n%s", err, output)
	}
	content := s.get("fraud/v8/model.json")
	var m model
	if err := json.Unmarshal(content, &m); err != nil || m.Version != "v8" || m.Link != "logistic" || strings.Join(m.Columns, " ") != "amount hour" {
		t.Fatalf("%s: %v", content, err)
	}
	if m.Weights[0] <= 0 || m.Weights[1] >= 0 {
		t.Errorf("the weights are %v: a large amount speaks for yes, and a late hour against it", m.Weights)
	}
	r := s.result("fraud/v8/")
	if r.URI != "s3://models/fraud/v8/model.json" || r.Digest != fmt.Sprintf("sha256:%x", sha256.Sum256(content)) || r.Size == nil || *r.Size != int64(len(content)) ||
		r.Format.Name != "logistic" || r.Format.Version != "1" || !strings.HasPrefix(r.Lineage.Dataset, "s3://data/fraud/, 80 rows, sha256:") {
		t.Errorf("%+v", r)
	}
	s.wantMetrics(r, m, rows(1, 40), rows(2, 40))

	if output, err := s.run("RUN_URI=s3://models/again", "SEED=1"); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if again := s.get("again/model.json"); string(again) != string(content) {
		t.Errorf("the same rows made %s and then %s", content, again)
	}
	if output, err := s.run("RUN_URI=s3://models/other/", "SEED=2"); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if other := s.get("other/model.json"); string(other) == string(content) {
		t.Error("another seed made the same model")
	}

	s.put("fraud/2.csv", rows(3, 4000))
	if output, err := s.run("RUN_URI=s3://models/fraud/v9/", "MODEL_VERSION=v9"); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	later := s.result("fraud/v9/")
	if later.Metrics["accuracy"] <= r.Metrics["accuracy"] || later.Metrics["logloss"] >= r.Metrics["logloss"] || later.Metrics["auc"] <= r.Metrics["auc"] || later.Lineage.Dataset == r.Lineage.Dataset {
		t.Errorf("with more rows it is %+v, with fewer %+v", later, r)
	}
}

// result reads what a run says that it has made, as the agent does.
func (s *site) result(run string) result.Document {
	s.t.Helper()
	content := s.get(run + "result.json")
	d, err := result.Parse(content)
	if err != nil {
		s.t.Fatalf("%s: %v", content, err)
	}
	return d
}

// wantMetrics measures a model with those of the rows that were held out.
func (s *site) wantMetrics(r result.Document, m model, files ...string) {
	s.t.Helper()
	var all logistic.Table
	for _, file := range files {
		table, err := logistic.Read("file", strings.NewReader(file))
		if err != nil {
			s.t.Fatal(err)
		}
		if err := all.Join(table); err != nil {
			s.t.Fatal(err)
		}
	}
	_, held := all.Split(1)
	right, loss := 0.0, 0.0
	for _, row := range held.Rows {
		p := 1 / (1 + math.Exp(-(m.Bias + m.Weights[0]*row.Features[0] + m.Weights[1]*row.Features[1])))
		if !row.Label {
			p = 1 - p
		}
		if p > 0.5 {
			right++
		}
		loss -= math.Log(p)
	}
	n := float64(len(held.Rows))
	if string(r.Metrics["accuracy"]) != fmt.Sprintf("%.4f", right/n) || string(r.Metrics["logloss"]) != fmt.Sprintf("%.4f", loss/n) || r.Metrics["auc"] == "" || len(r.Metrics) != 3 {
		s.t.Errorf("it says %v, and of %d rows that were held out %g are right, with a loss of %g", r.Metrics, len(held.Rows), right, loss)
	}
}

// TestRefusals ends with a sentence, and leaves nothing behind.
func TestRefusals(t *testing.T) {
	s := newSite(t)
	s.put("fraud/1.csv", rows(1, 40))
	s.put("bad/1.csv", rows(1, 40))
	s.put("bad/2.csv", "amount,hour,label\n1,2,0\nmuch,2,1\n")
	s.put("columns/1.csv", rows(1, 40))
	s.put("columns/2.csv", "hour,amount,label\n1,2,0\n")
	s.put("few/1.csv", "amount,hour,label\n1,2,0\n")
	s.put("large/1.csv", strings.Repeat("1,2,0\n", maxData/6+1))
	for variable, want := range map[string]string{
		"RUN_URI=":                   "RUN_URI is not set: set it to a prefix in an object store",
		"RUN_URI=models/v8":          `RUN_URI: "models/v8" is no address in an object store: write s3://bucket/key`,
		"MODEL_VERSION=":             "MODEL_VERSION is not set",
		"SEED=one":                   `SEED is "one": it has to be a whole number`,
		"DATA_URI=s3://data/none/":   "there are no files below s3://data/none/",
		"DATA_URI=s3://nowhere/":     "listing s3://nowhere/: the object store answers 404 Not Found",
		"DATA_URI=s3://data/bad/":    `s3://data/bad/: 2.csv: line 3: amount is "much", which is no number`,
		"DATA_URI=s3://data/columns": "s3://data/columns/2.csv: its columns are hour, amount, and those of the files before are amount, hour",
		"DATA_URI=s3://data/few/":    "s3://data/few/: of ",
		"DATA_URI=s3://data/large/":  "the files below s3://data/large/ have more than 64 MiB",
		"AWS_SECRET_ACCESS_KEY=x":    "listing s3://data/fraud/: the object store answers 403 Forbidden",
	} {
		output, err := s.run(variable)
		if err == nil || !strings.Contains(output, "trainer: ") || !strings.Contains(output, want) {
			t.Errorf("%s: want %q, have %v\n%s", variable, want, err, output)
		}
	}
	if output, err := s.run("RUN_URI=s3://nowhere/v8/"); err == nil || !strings.Contains(output, "trainer: writing s3://nowhere/v8/model.json: the object store answers 404 Not Found") {
		t.Errorf("%v\n%s", err, output)
	}
	if left, err := s.store.List(t.Context(), "models", ""); err != nil || len(left) != 0 {
		t.Errorf("%+v, %v", left, err)
	}
}
