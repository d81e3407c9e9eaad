package main

import (
	"context"
	"fmt"
	"time"
)

// step is one part of the story.
type step struct {
	title string
	why   string
	play  func(*demo, context.Context) error
}

var platformStep = step{
	"A repository becomes the cluster's state",
	"overlays/sluice is applied by hand, once: it says where Git is and which directories are kept applied. All else comes from Git.",
	(*demo).deploy,
}

var modelStep = step{
	"Which version of a model serves is a line in Git",
	"Training has left three versions of the model churn in an object store. Each is registered: a file with its digest and its metrics. The agent checks that the artifact is what the file says. A Model says which version serves in which stage.",
	(*demo).serve,
}

// opening is what the reader goes on from.
var opening = []step{platformStep, modelStep}

var story = []step{
	platformStep,
	{
		"A push is all it takes",
		"One line changes in Git. Only the objects that differ are written, and the overlays it does not touch are left alone.",
		(*demo).change,
	},
	{
		"What is changed by hand is put back",
		"Somebody scales production in a hurry. Git says 2 replicas, and a watch tells the agent that the cluster does not.",
		(*demo).drift,
	},
	{
		"A broken commit hurts nobody",
		"A file is named and not committed. The overlay says so; what runs goes on running, and the others do not notice.",
		(*demo).breakIt,
	},
	{
		"A revert mends it",
		"Git is the only way in, and the way back.",
		(*demo).mend,
	},
	modelStep,
	{
		"Changing that line promotes a version",
		"Staging moves to v2. When it has served there for 3 s, and meets what production asks for, the agent proposes the same line for production, on a branch. Merging is for people.",
		(*demo).promote,
	},
	{
		"A version that fails is turned back",
		"v3 has the best metric of all, so it comes as far as production. There its smoke test fails: the demo, which answers for the models since no container runs, gives v3 the status 500.",
		(*demo).turnBack,
	},
	{
		"What a training makes comes back to Git",
		"A Retraining says when the model is trained again, and by what: here by a Job, each Monday, or when somebody asks. What the Job has made is proposed for staging if it is better than what serves there. Merged, it goes the way of every version.",
		(*demo).retrain,
	},
	{
		"How it stands",
		"Everything above can be read from the cluster at any time.",
		(*demo).summary,
	},
}

// patience is what a step may take. It is no measure of anything: machines are slow.
const patience = 2 * time.Minute

// play plays steps until one fails.
func (d *demo) play(ctx context.Context, steps []step) error {
	for n, s := range steps {
		fmt.Printf("\n%d. %s\n\n", n+1, s.title)
		say("%s", s.why)
		fmt.Println()
		if err := d.playStep(ctx, s); err != nil {
			return fmt.Errorf("step %d, %s: %w", n+1, s.title, err)
		}
	}
	return nil
}

func (d *demo) playStep(ctx context.Context, s step) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it did not come to its end within %s", patience))
	defer cancel()
	d.board.restart()
	err := s.play(d, ctx)
	if open := d.board.String(); err != nil && open != "" {
		return fmt.Errorf("%w\n%s", err, open)
	}
	return err
}
