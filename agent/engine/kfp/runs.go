package kfp

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// order is what is to be run.
type order struct {
	// Name of the run: the same for the same attempt, for it is run once for each name.
	Name string
	// Namespace in multi-user mode.
	Namespace string
	// Experiment by its name. It is made if it is missing.
	Experiment string
	// Version of the pipeline.
	Version Version
	// Parameters as Package.Values has them.
	Parameters map[string]any
	// PipelineRoot is where artifacts go, if elsewhere than usual.
	PipelineRoot string
	// ServiceAccount of the pods, if another than usual.
	ServiceAccount string
	// Description for people.
	Description string
}

// Request is what a Retraining says of a run. Its texts are filled in.
type Request struct {
	// Name of the run: the same for the same attempt.
	Name string
	// Namespace of the Retraining.
	Namespace string
	// Run names the pipeline, the version and the experiment.
	Run v1alpha1.KFPRun
	// Parameters by their names. Those that are no texts are in Run.
	Parameters map[string]string
	// Description for people.
	Description string
}

// Submit has a run of the name of the request. If there is none, it finds the pipeline and the version, checks
// the parameters, and makes one. It can be asked again at any time, by several at once: there is one run of the
// name that counts.
func (c *Client) Submit(ctx context.Context, r Request) (State, error) {
	namespace := cmp.Or(r.Run.Namespace, r.Namespace)
	state, err := c.start(ctx, r.Name, namespace, r.Run.Experiment, func() (order, error) { return c.order(ctx, namespace, r) })
	return state, about(err, "the run %s", printable(r.Name))
}

// Find finds the run of a name that counts. It makes nothing; Missing says that there is none.
func (c *Client) Find(ctx context.Context, namespace, experiment, name string) (State, error) {
	id, err := c.findExperiment(ctx, namespace, experiment)
	if err != nil {
		return State{}, about(err, "the experiment %s%s", printable(experiment), of(namespace))
	}
	runs, err := c.runsNamed(ctx, id, name)
	if err == nil && len(runs) == 0 {
		err = sayf(Missing, "it is not there")
	}
	if err != nil {
		return State{}, about(err, "the run %s", printable(name))
	}
	return c.settle(ctx, runs)
}

// order is what a request comes to.
func (c *Client) order(ctx context.Context, namespace string, r Request) (order, error) {
	pipeline, err := c.FindPipeline(ctx, namespace, r.Run.Pipeline)
	if err != nil {
		return order{}, err
	}
	version, err := c.FindVersion(ctx, pipeline, r.Run.Version)
	if err != nil {
		return order{}, err
	}
	pkg, err := c.describe(ctx, version)
	if err != nil {
		return order{}, err
	}
	var others json.RawMessage
	if r.Run.Values != nil {
		others = r.Run.Values.Raw
	}
	values, err := pkg.Values(r.Parameters, others)
	return order{
		Name: r.Name, Namespace: namespace, Experiment: r.Run.Experiment, Version: version, Parameters: values,
		PipelineRoot: r.Run.PipelineRoot, ServiceAccount: r.Run.ServiceAccount, Description: r.Description,
	}, err
}

// start looks for a run of a name before it asks what is ordered: what was started goes on, whatever has
// become of its pipeline since.
func (c *Client) start(ctx context.Context, name, namespace, experiment string, ordered func() (order, error)) (State, error) {
	if err := checkName("a run", name); err != nil {
		return State{}, err
	}
	id, err := c.experiment(ctx, namespace, experiment)
	if err != nil {
		return State{}, err
	}
	runs, err := c.runsNamed(ctx, id, name)
	if err != nil {
		return State{}, err
	}
	if len(runs) > 0 {
		return c.settle(ctx, runs)
	}
	o, err := ordered()
	if err != nil {
		return State{}, err
	}
	made := c.create(ctx, id, o)
	if made != nil && !mayBeDone(made) {
		return State{}, made
	}
	// Another agent may have made one between our look and our run, and the answer may be lost.
	runs, err = c.runsNamed(ctx, id, name)
	switch {
	case err != nil:
		return State{}, err
	case len(runs) > 0:
		return c.settle(ctx, runs)
	case made != nil:
		return State{}, c.whyNot(ctx, o.Version, made)
	}
	return State{}, sayf(Broken, "Kubeflow Pipelines has made it and does not list it: it is looked for again later")
}

func (c *Client) create(ctx context.Context, experiment string, o order) error {
	for what, id := range map[string]string{"pipeline": o.Version.PipelineID, "version": o.Version.ID} {
		if _, err := part(what, id); err != nil {
			return err // of none, the server would take the newest
		}
	}
	config := map[string]any{}
	if len(o.Parameters) > 0 {
		config["parameters"] = o.Parameters
	}
	if o.PipelineRoot != "" {
		config["pipeline_root"] = o.PipelineRoot
	}
	message := map[string]any{
		"display_name": o.Name, "experiment_id": experiment, "runtime_config": config,
		"pipeline_version_reference": map[string]string{"pipeline_id": o.Version.PipelineID, "pipeline_version_id": o.Version.ID},
	}
	if o.ServiceAccount != "" {
		message["service_account"] = o.ServiceAccount
	}
	if o.Description != "" {
		message["description"] = o.Description
	}
	return c.post(ctx, "/runs", message, nil)
}

// whyNot looks for the reason of a failure: Kubeflow Pipelines answers 500 to a run of a version that is
// not there any more.
func (c *Client) whyNot(ctx context.Context, v Version, made error) error {
	if ReasonOf(made) != Broken {
		return made
	}
	if _, err := c.version(ctx, v); ReasonOf(err) == Missing {
		return sayf(Missing, "the version %s of its pipeline was deleted from Kubeflow Pipelines: deliver it again, or name another", printable(v.Name))
	}
	return made
}

type apiExperiment struct {
	ID   string `json:"experiment_id"`
	Name string `json:"display_name"`
}

// experiment is the id of an experiment, which is made if it is missing.
func (c *Client) experiment(ctx context.Context, namespace, name string) (string, error) {
	if err := checkName("an experiment", name); err != nil {
		return "", err
	}
	id, err := ensure(
		func() (string, error) { return c.findExperiment(ctx, namespace, name) },
		func() error {
			message := map[string]string{"display_name": name, "description": delivered}
			if namespace != "" {
				message["namespace"] = namespace
			}
			return c.post(ctx, "/experiments", message, nil)
		})
	return id, about(err, "the experiment %s%s", name, of(namespace))
}

func (c *Client) findExperiment(ctx context.Context, namespace, name string) (string, error) {
	filter, err := named("display_name", name)
	if err != nil {
		return "", err
	}
	query := inNamespace(namespace)
	query.Set("filter", filter)
	var answer struct {
		Experiments []apiExperiment `json:"experiments"`
	}
	if err := c.get(ctx, "/experiments", query, &answer); err != nil {
		return "", err
	}
	for _, e := range answer.Experiments {
		if e.Name == name {
			return e.ID, nil
		}
	}
	return "", sayf(Missing, "it is not there")
}

// runsNamed are all runs of a name.
func (c *Client) runsNamed(ctx context.Context, experiment, name string) ([]apiRun, error) {
	filter, err := named("display_name", name)
	if err != nil {
		return nil, err
	}
	query := url.Values{"experiment_id": {experiment}, "filter": {filter}, "page_size": {strconv.Itoa(pageSize)}}
	runs, err := list(query, func(q url.Values) (page[apiRun], error) {
		var answer struct {
			Runs []apiRun `json:"runs"`
			Next string   `json:"next_page_token"`
		}
		err := c.get(ctx, "/runs", q, &answer)
		return page[apiRun]{answer.Runs, answer.Next}, err
	})
	return slices.DeleteFunc(runs, func(r apiRun) bool { return r.Name != name }), err
}

// settle says which of the runs of a name counts, and terminates the others.
func (c *Client) settle(ctx context.Context, runs []apiRun) (State, error) {
	counts, others := counting(runs)
	state, err := c.stateOf(counts, false)
	if err != nil {
		return State{}, err
	}
	var stopped []string
	for _, other := range others {
		stopped = append(stopped, printable(other.ID))
		if other.stopping() {
			continue
		}
		if err := c.Cancel(ctx, other.ID); err != nil {
			return State{}, about(err, "it was made %d times, and %s, which does not count, cannot be terminated", len(runs), printable(other.ID))
		}
	}
	if len(others) > 0 {
		state.Note = printable(fmt.Sprintf("it was made %d times: %s is the oldest and counts, and what was not over of the others is terminated: %s", len(runs), counts.ID, strings.Join(stopped, ", ")))
	}
	return state, nil
}

// State asks how a run is. Canceled says that it was canceled by who asks.
func (c *Client) State(ctx context.Context, id string, canceled bool) (State, error) {
	run, err := c.run(ctx, id)
	if err != nil {
		return State{}, about(err, "the run %s", printable(id))
	}
	state, err := c.stateOf(run, canceled)
	if err != nil || !state.fluid() {
		return state, about(err, "the run %s", printable(id))
	}
	// One more of the name may have turned up, of a request that was thought to be lost.
	runs, err := c.runsNamed(ctx, run.ExperimentID, run.Name)
	if err != nil {
		return State{}, about(err, "the run %s", printable(id))
	}
	if len(runs) < 2 {
		return state, nil
	}
	settled, err := c.settle(ctx, runs)
	if err == nil && settled.ID == id {
		note := settled.Note
		settled, err = state, nil
		settled.Note = note
	}
	return settled, about(err, "the run %s", printable(run.Name))
}

func (c *Client) run(ctx context.Context, id string) (run apiRun, err error) {
	safe, err := part("run", id)
	if err != nil {
		return run, err
	}
	err = c.get(ctx, "/runs/"+safe, nil, &run)
	if ReasonOf(err) == Missing {
		return run, sayf(Forgotten, "Kubeflow Pipelines does not know it any more: somebody deleted it, or the server was installed again; what it has made is where it wrote it, and a new attempt makes a new run")
	}
	return run, err
}

// Cancel has a run end. It goes on being Running until its pods have ended, and may even end well before
// that. One that is over, or not there any more, is left as it is.
func (c *Client) Cancel(ctx context.Context, id string) error {
	safe, err := part("run", id)
	if err != nil {
		return err
	}
	err = c.call(ctx, request{method: http.MethodPost, path: "/runs/" + safe + ":terminate"}, nil)
	switch {
	case err == nil || ReasonOf(err) == Missing:
		return nil
	case ReasonOf(err) != Invalid && !mayBeDone(err):
		return about(err, "the run %s cannot be terminated", id)
	}
	// It refuses runs that are over or being terminated, and the answer may be lost.
	run, looked := c.run(ctx, id)
	switch {
	case ReasonOf(looked) == Forgotten || looked == nil && run.stopping():
		return nil
	case looked != nil:
		err = looked
	}
	return about(err, "the run %s cannot be terminated", id)
}

// Delete removes a run from Kubeflow Pipelines, with its workflow and pods. One that is not there is gone.
func (c *Client) Delete(ctx context.Context, id string) error {
	safe, err := part("run", id)
	if err != nil {
		return err
	}
	err = c.call(ctx, request{method: http.MethodDelete, path: "/runs/" + safe}, nil)
	if ReasonOf(err) == Missing {
		return nil
	}
	return about(err, "the run %s cannot be deleted", id)
}
