package proposal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/registration"
	"github.com/sluice-dev/sluice/agent/render"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/kustomize/api/konfig"
)

// Addition is a version that a run has made and that is to come to Git.
type Addition struct {
	Version v1alpha1.ModelVersion
	// Dir is the directory, with a kustomization, to which the manifest is added.
	Dir string
	// Model of the version, and the Stage that is to have it; empty for none.
	Model types.NamespacedName
	Stage string
	// Branch of people's, such as main, which is at the base and moves on; empty for a branch of its own.
	Branch string

	// Run that has made it, for a Slot of a Retraining, and the Trigger in a sentence.
	Retraining, Run string
	Slot            time.Time
	Trigger         string
	// Evidence, Author, Time and Replaces as of a Proposal.
	Evidence []string
	Author   gitrepo.Author
	Time     time.Time
	Replaces string
}

// ProposeVersion adds a version on top of a commit, whose files tree has: its manifest as a file, the line
// in the kustomization that lists it, and the line of the stage, if there is one. All of it is one commit,
// which is pushed to a branch of its own or moves a named one on. Render renders the overlay that has the
// Model; without a stage it may be nil, and whether the overlay renders with the file is not seen.
//
// A version that is there is Settled, whatever the stage has: somebody has merged it, and may have gone on
// from there.
func ProposeVersion(ctx context.Context, tree agent.Tree, render Render, push Push, base string, v Addition) (Proposed, error) {
	branch, err := v.branch()
	if err != nil {
		return Proposed{}, err
	}
	file, files, err := v.files(tree)
	if err != nil {
		return Proposed{}, err
	}
	if render != nil {
		if err := v.fits(ctx, render, file, files); err != nil {
			return Proposed{}, err
		}
	}
	var edit Edit
	if v.Stage != "" {
		if edit, err = v.promote(ctx, tree, render, files); err != nil {
			return Proposed{}, err
		}
	}
	commit, err := push(ctx, gitrepo.Commit{
		Base:     base,
		Branch:   branch,
		Advances: v.Branch != "",
		Topic:    v.topic(file),
		Message:  v.message(),
		Files:    files,
		Author:   v.Author,
		Time:     v.Time,
		Replaces: v.Replaces,
	})
	if err != nil {
		return Proposed{}, err
	}
	return Proposed{Branch: branch, Commit: commit, Edit: edit}, nil
}

// branch checks all names.
func (v Addition) branch() (string, error) {
	if err := registration.Check(v.Version.Spec); err != nil {
		return "", errorf(Invalid, "%s", err)
	}
	own, err := VersionBranch(v.Version.Spec.Model, v.Version.Spec.Version)
	if err != nil {
		return "", err
	}
	if v.Stage != "" {
		if err := checkModel(v.Model, v.Stage, v.Version.Spec.Version); err != nil {
			return "", err
		}
	}
	if v.Branch != "" {
		return v.Branch, nil
	}
	return own, nil
}

// files are those that differ with the version: the manifest, and the kustomization that lists it.
func (v Addition) files(tree agent.Tree) (file string, files map[string][]byte, err error) {
	dir := path.Clean(v.Dir)
	if v.Dir == "" || !fs.ValidPath(dir) {
		return "", nil, errorf(Invalid, "the path %q is not one of a directory in the repository: write it from its root, without .. and without a / before it", printable(v.Dir))
	}
	list, text, err := kustomization(tree, dir)
	if err != nil {
		return "", nil, err
	}
	manifest, err := registration.YAML(v.Version.Namespace, v.Version.Spec)
	if err != nil {
		return "", nil, err
	}
	file = path.Join(dir, registration.Name(v.Version.Spec.Model, v.Version.Spec.Version)+".yaml")
	there, err := tree.ReadFile(file)
	switch {
	case err == nil && !bytes.Equal(there, manifest):
		return "", nil, errorf(Taken, "%s is there and says something else: a version never changes; name the version otherwise, or delete the file if it was never used", printable(file))
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", nil, errorf(Taken, "%s is there and is no file of a version (%s): remove it, or name the version otherwise", printable(file), printable(cause(err)))
	}
	files = map[string][]byte{}
	if err != nil {
		files[file] = manifest
	}
	changed, err := AddResource(text, path.Base(file))
	if err != nil {
		return "", nil, errorf(NoPlace, "%s: %s", printable(list), err)
	}
	if !bytes.Equal(changed, text) {
		files[list] = changed
	}
	if len(files) == 0 {
		return "", nil, errorf(Settled, "Git has %s of the model %s already, in %s: there is nothing to add", v.Version.Spec.Version, v.Version.Spec.Model, printable(file))
	}
	return file, files, nil
}

// kustomization finds the kustomization of a directory.
func kustomization(tree agent.Tree, dir string) (file string, text []byte, err error) {
	names := konfig.RecognizedKustomizationFileNames()
	for _, name := range names {
		file = path.Join(dir, name)
		text, err = tree.ReadFile(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return "", nil, errorf(NoPlace, "%s cannot be read (%s): the version is added to its resources", printable(file), printable(cause(err)))
		case len(text) > mostYAML:
			return "", nil, errorf(NoPlace, "%s is larger than %d MiB: split it", printable(file), mostYAML>>20)
		}
		return file, text, nil
	}
	return "", nil, errorf(NoPlace, "there is no %s in %s: add one that the overlay lists, so that the version has a place", names[0], printable(dir))
}

// cause leaves the path out of an error of a file system.
func cause(err error) string {
	if e, is := errors.AsType[*fs.PathError](err); is {
		return e.Err.Error()
	}
	return err.Error()
}

// fits makes sure that the overlay renders with the files and that nothing becomes different in it but the
// ModelVersion: it has the version then, or does not read the directory.
func (v Addition) fits(ctx context.Context, again Render, file string, files map[string][]byte) error {
	before, err := again(ctx, nil)
	if err != nil {
		return fmt.Errorf("the overlay of the Model %s: %w", v.Model, err)
	}
	after, err := again(ctx, files)
	if err != nil {
		if ctx.Err() != nil || render.Temporary(err) {
			return err
		}
		return errorf(NoPlace, "with %s the overlay would not render: %s", printable(file), printable(err.Error()))
	}
	for _, ref := range render.Differ(before.Set, after.Set) {
		_, had := before.Set.Find(ref)
		if had || ref.Group != v1alpha1.GroupVersion.Group || ref.Kind != v1alpha1.ModelVersionKind {
			return errorf(NoPlace, "with %s more would change than that the version is there: %s; look at what the kustomization of the directory does", printable(file), ref)
		}
	}
	return nil
}

// promote has the stage name the version, and adds that to the files.
func (v Addition) promote(ctx context.Context, tree agent.Tree, again Render, files map[string][]byte) (Edit, error) {
	with := func(ctx context.Context, replaced map[string][]byte) (render.Result, error) {
		all := maps.Clone(files)
		maps.Copy(all, replaced)
		return again(ctx, all)
	}
	edit, err := SetVersion(ctx, render.Replace(tree, files), with, v.Model, v.Stage, v.Version.Spec.Version)
	if e, is := errors.AsType[*Error](err); is && e.Kind == Settled {
		return Edit{}, nil // the stage has waited for it
	}
	if err != nil {
		return Edit{}, err
	}
	files[edit.Path] = edit.Content
	return edit, nil
}

// topic is the same for every attempt at this version of this run. The file is in it, as in that of a
// Proposal.
func (v Addition) topic(file string) string {
	sum := sha256.Sum256([]byte(file))
	return fmt.Sprintf("%s/%s: add %s of %s (file %x)", printable(v.Model.Namespace), v.Version.Spec.Model, v.Version.Spec.Version, printable(v.Run), sum[:6])
}

// message says what is added, by which run, and why.
func (v Addition) message() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s from %s\n\n", v.Version.Spec.Model, v.Version.Spec.Version, sentence(v.Retraining))
	fmt.Fprintf(&b, "Run: %s\nSlot: %s\nTrigger: %s\n", sentence(v.Run), v.Slot.UTC().Format(time.RFC3339), sentence(v.Trigger))
	if v.Stage != "" {
		fmt.Fprintf(&b, "Stage: %s\n", v.Stage)
	}
	evidence(&b, v.Evidence)
	return b.String()
}
