package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/schedule"
	"github.com/sluice-dev/sluice/agent/slot"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// upcoming is one call of `sluice retrain next`.
type upcoming struct {
	count  int
	file   string
	output string
	out    io.Writer
	now    time.Time
}

func newRetrainNextCommand() *cobra.Command {
	u := upcoming{count: 5}
	number := countOrNamespace{count: &u.count}
	cmd := &cobra.Command{
		Use:   "next RETRAINING | -f FILE [RETRAINING]",
		Short: "Show when a Retraining is run next",
		Long: `Show the coming slots of a Retraining: when they are in its time zone, when the run begins
where that is later by spec.jitter, and when that is here. It says what keeps them from being run,
or comes first: that it is suspended, or slots that were missed.

With -f, the Retraining is read from a file, or from stdin (-), before it is in a cluster. The
jitter depends on its namespace and name; "@every" without startAt counts from its creation, for
which now is taken.`,
		Example: `  # The next five
  sluice retrain next fraud-weekly

  # What would this schedule come to?
  sluice retrain next -f retraining.yaml -n 20`,
		Args: cobra.MaximumNArgs(1),
	}
	cmd.Flags().VarP(&number, "count", "n", "How many slots. With -n, what is no number is the namespace, as everywhere.")
	cmd.Flags().StringVarP(&u.file, "filename", "f", "", "File with the Retraining; its name says which, if there are several.")
	outputFlag(cmd, &u.output, "yaml", "json")
	a := reach(cmd)
	number.namespace = &a.overrides.Context.Namespace
	cmd.ValidArgsFunction = a.completeName(v1alpha1.RetrainingKind)
	must(cmd.RegisterFlagCompletionFunc("count", a.completeNamespaces))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		u.out, u.now = cmd.OutOrStdout(), time.Now()
		if u.file != "" {
			r, err := u.read(cmd.InOrStdin(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			if r.Namespace == "" {
				r.Namespace, _ = a.namespace() // there need not be a cluster
			}
			return u.show(r)
		}
		if len(args) == 0 {
			return fmt.Errorf("name one Retraining, or a file: sluice retrain next RETRAINING, or -f FILE (see %s --help)", cmd.CommandPath())
		}
		_, r, err := a.retraining(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return u.show(r)
	}
	return cmd
}

// countOrNamespace is the flag -n where it is a number. Elsewhere it is the namespace, and who is
// used to that is understood here too.
type countOrNamespace struct {
	count     *int
	namespace *string
}

// mostSlots bounds how far one looks ahead.
const mostSlots = 1000

func (n *countOrNamespace) Set(text string) error {
	count, err := strconv.Atoi(text)
	switch {
	case err != nil:
		*n.namespace = text
		return nil
	case count < 1 || count > mostSlots:
		return fmt.Errorf("between 1 and %d slots can be shown", mostSlots)
	}
	*n.count = count
	return nil
}

func (n *countOrNamespace) String() string {
	if n.count == nil {
		return ""
	}
	return strconv.Itoa(*n.count)
}

func (n *countOrNamespace) Type() string { return "number" }

// comingSlot is a slot, and when its run begins.
type comingSlot struct {
	Slot   time.Time `json:"slot"`
	Begins time.Time `json:"begins"`
}

func (u *upcoming) show(r *v1alpha1.Retraining) error {
	if r.CreationTimestamp.IsZero() {
		r.CreationTimestamp = metav1.NewTime(u.now)
	}
	calendar, err := schedule.ParseCalendar(r.Spec, r.CreationTimestamp.Time)
	if err != nil {
		return fmt.Errorf("Retraining %s: %w", client.ObjectKeyFromObject(r), err)
	}
	slots := u.slots(r, calendar)
	if u.output != "" {
		return encode(u.out, u.output, slots)
	}
	for _, remark := range u.remarks(r, slots) {
		if _, err := fmt.Fprintln(u.out, oneLine(remark)); err != nil {
			return err
		}
	}
	if len(slots) == 0 {
		return nil
	}
	return (&table{out: u.out, color: colorful(u.out)}).rows(u.rows(r, slots))
}

// slots are those that come: not before the last that was decided upon, as the agent sees it.
func (u *upcoming) slots(r *v1alpha1.Retraining, calendar schedule.Calendar) []comingSlot {
	jitter := slot.Jitter(*r)
	after := u.now.Add(-jitter)
	if handled := r.Status.HandledSlot; handled != nil && handled.After(after) {
		after = handled.Time
	}
	slots := []comingSlot{}
	for at := calendar.Next(after); !at.IsZero() && len(slots) < u.count; at = calendar.Next(at) {
		slots = append(slots, comingSlot{at.UTC(), at.UTC().Add(jitter)})
	}
	return slots
}

// remarks say what comes before the slots, or why there are none.
func (u *upcoming) remarks(r *v1alpha1.Retraining, slots []comingSlot) []string {
	var remarks []string
	name := "Retraining " + client.ObjectKeyFromObject(r).String()
	if r.Spec.Suspend {
		remark := name + " is suspended"
		if note := r.Annotations[v1alpha1.NoteAnnotation]; note != "" {
			remark += " (" + note + ")"
		}
		remarks = append(remarks, fmt.Sprintf("%s: nothing begins until sluice resume retraining %s -n %s", remark, r.Name, r.Namespace))
	}
	if waiting := r.Status.Waiting; len(waiting) > 0 {
		remarks = append(remarks, fmt.Sprintf("Slots that were missed are run first, one after the other: %s", timesOf(waiting)))
	}
	switch {
	case len(r.Spec.Schedules) == 0:
		remarks = append(remarks, name+" has no schedules: it is run by its triggers, and with sluice retrain run")
	case len(slots) == 0 && r.Spec.EndAt != nil:
		remarks = append(remarks, fmt.Sprintf("%s has no more slots: its endAt is %s", name, utc(r.Spec.EndAt.Time)))
	case len(slots) == 0:
		remarks = append(remarks, name+" has no more slots")
	}
	return remarks
}

// timesOf lists times, and no more than fit on a line.
func timesOf(times []metav1.Time) string {
	const most = 5
	var words []string
	for _, t := range times[:min(len(times), most)] {
		words = append(words, utc(t.Time))
	}
	text := strings.Join(words, ", ")
	if more := len(times) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// rows show slots in the zone of the Retraining. What is the same for all of them, because nothing is
// delayed or because one is in that zone, is shown once.
func (u *upcoming) rows(r *v1alpha1.Retraining, slots []comingSlot) [][]string {
	zone, _ := time.LoadLocation(r.Spec.TimeZone) // the calendar has read it
	rows := [][]string{{"SLOT", "BEGINS", "HERE", "IN"}}
	jitter, elsewhere := slot.Jitter(*r) > 0, false
	for _, s := range slots {
		begins, here := wall(s.Begins.In(zone)), wall(s.Begins.Local())
		elsewhere = elsewhere || begins != here
		rows = append(rows, []string{wall(s.Slot.In(zone)), begins, here, duration.HumanDuration(max(s.Begins.Sub(u.now), 0))})
	}
	for n := range rows {
		if !elsewhere {
			rows[n] = slices.Delete(rows[n], 2, 3)
		}
		if !jitter {
			rows[n] = slices.Delete(rows[n], 1, 2)
		}
	}
	return rows
}

// wall is a time as a calendar on the wall has it.
func wall(t time.Time) string {
	if t.Second() != 0 {
		return t.Format("Mon 2006-01-02 15:04:05 MST")
	}
	return t.Format("Mon 2006-01-02 15:04 MST")
}

// largestManifest bounds what is read of a file.
const largestManifest = 4 << 20

// read finds a Retraining in a file: the one of a name, or the only one.
func (u *upcoming) read(stdin io.Reader, name string) (*v1alpha1.Retraining, error) {
	in := stdin
	if u.file != "-" {
		f, err := os.Open(u.file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, largestManifest+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s cannot be read: %w", u.file, err)
	case len(text) > largestManifest:
		return nil, fmt.Errorf("%s is larger than %d MiB: give a file with the Retraining only", u.file, largestManifest>>20)
	}
	found, err := retrainingsIn(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.file, err)
	}
	var names []string
	for _, r := range found {
		if r.Name == name || name == "" && len(found) == 1 {
			return &r, nil
		}
		names = append(names, r.Name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("there is no Retraining in %s", u.file)
	}
	return nil, fmt.Errorf("name one of the Retrainings in %s: %s", u.file, oneLine(strings.Join(names, ", ")))
}

// retrainingsIn reads the Retrainings of a file, and nothing else of it.
func retrainingsIn(text []byte) ([]v1alpha1.Retraining, error) {
	var found []v1alpha1.Retraining
	for documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		var meta metav1.TypeMeta
		if err == nil {
			err = yaml.Unmarshal(document, &meta)
		}
		if err != nil {
			return nil, err
		}
		if meta.Kind != v1alpha1.RetrainingKind || meta.APIVersion != v1alpha1.GroupVersion.String() {
			continue
		}
		var r v1alpha1.Retraining
		if err := yaml.UnmarshalStrict(document, &r); err != nil {
			return nil, err
		}
		found = append(found, r)
	}
}
