package kfp

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func at(second int64) time.Time { return time.Unix(1_800_000_000+second, 0).UTC() }

func TestFailureOf(t *testing.T) {
	said := func(text string) *apiStatus { return &apiStatus{Message: text} }
	failed := func(name string, started, ended int64) apiTask {
		return apiTask{Name: name, Started: at(started), Ended: at(ended), State: "FAILED"}
	}
	for _, c := range []struct {
		name          string
		run           apiRun
		step, message string
	}{
		{"nothing is known", apiRun{}, "", "it failed, and Kubeflow Pipelines does not say why"},
		{"the run says it", apiRun{Error: said("no such image")}, "", "no such image"},
		{"the history says it", apiRun{History: []apiChange{{Error: said("old")}, {Error: said("new")}, {}}}, "", "new"},
	} {
		step, message := failureOf(c.run)
		if step != c.step || !strings.HasPrefix(message, c.message) {
			t.Errorf("%s: %q, %q", c.name, step, message)
		}
	}
	for _, c := range []struct {
		name  string
		tasks []apiTask
		step  string
	}{
		{"none failed", []apiTask{{Name: "train", State: "SUCCEEDED"}}, ""},
		{"what is around it fails too", []apiTask{failed("root", 0, 9), failed("fraud-7x", 0, 9), failed("train", 3, 9), failed("executor", 4, 9)}, "train"},
		{"the first of two", []apiTask{failed("report", 1, 9), failed("train", 3, 7)}, "train"},
		{"of the same time", []apiTask{failed("b", 1, 9), failed("a", 1, 9)}, "a"},
		{"a task inside a graph", []apiTask{failed("graph", 1, 9), failed("inner", 5, 9)}, "inner"},
		{"only what is around it", []apiTask{failed("root", 1, 9)}, "root"},
	} {
		for _, tasks := range [][]apiTask{c.tasks, slices.Collect(func(yield func(apiTask) bool) {
			for _, task := range slices.Backward(c.tasks) {
				if !yield(task) {
					return
				}
			}
		})} {
			run := apiRun{}
			run.Details.Tasks = tasks
			if step, _ := failureOf(run); step != c.step {
				t.Errorf("%s: %q, want %q", c.name, step, c.step)
			}
		}
	}
	run := apiRun{Error: said("run")}
	run.Details.Tasks = []apiTask{{Name: "train", State: "FAILED", History: []apiChange{{Error: said("in its history")}}}}
	if _, message := failureOf(run); message != "in its history" {
		t.Errorf("%q", message)
	}
	run.Details.Tasks[0].Error = said("itself")
	if _, message := failureOf(run); message != "itself" {
		t.Errorf("%q", message)
	}
}

// Everybody comes to the same, in whatever order they see the runs.
func TestCounting(t *testing.T) {
	runs := []apiRun{{ID: "c", CreatedAt: at(1)}, {ID: "b", CreatedAt: at(1)}, {ID: "a", CreatedAt: at(2)}}
	for range runs {
		runs = append(runs[1:], runs[0])
		counts, others := counting(runs)
		if counts.ID != "b" || len(others) != 2 || others[0].ID != "c" || others[1].ID != "a" {
			t.Errorf("%v, and not %v", counts, others)
		}
	}
}

// A run of which the server has only an error is not said to be anything.
func TestUnreadable(t *testing.T) {
	c := &Client{}
	_, err := c.stateOf(apiRun{ID: "x", Error: &apiStatus{Message: "Failed to parse runtime config"}}, false)
	if ReasonOf(err) != Broken || !strings.Contains(err.Error(), "Failed to parse runtime config") {
		t.Error(err)
	}
}

func TestStale(t *testing.T) {
	name := func(c string) string { return versionPrefix + strings.Repeat(c, versionDigits) }
	versions := []Version{
		{ID: "1", Name: name("1"), CreatedAt: at(1)}, {ID: "2", Name: name("2"), CreatedAt: at(2)}, {ID: "3", Name: name("3"), CreatedAt: at(3)},
		{ID: "4", Name: "by hand", CreatedAt: at(0)}, {ID: "5", Name: name("5") + "x", CreatedAt: at(0)},
	}
	for keep, want := range [][]string{{"3", "1"}, {"1"}, {}, {}} {
		var ids []string
		for _, v := range stale(versions, keep, []string{"2"}) {
			ids = append(ids, v.ID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("of which %d are kept: %v, want %v", keep, ids, want)
		}
	}
	if len(stale(versions, -1, nil)) != 3 {
		t.Error("less than none are kept")
	}
}
