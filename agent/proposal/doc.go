// Package proposal changes the one line in Git that says which version of a model serves in a
// stage, or adds a version, and pushes the change as a commit to a branch of its own, for people to
// merge; a version also to a branch of theirs, where they have said so.
//
// What goes in: the files of a revision, a way to render the overlay that has the Model, the
// names of the model, the stage and the version. What comes out: an [Edit] of one file, of which
// not a byte differs but the version; and from [Propose] the branch and the commit.
//
// How the line is found: every file that the render reads is looked through for places that
// could be it (a stage of a Model, in a resource or in a merge patch; a JSON patch of a version;
// either of them written out in a kustomization). Each is tried: it is changed in memory, and
// the overlay rendered again. The line is the one that changes the version of this stage of this
// Model and nothing else. So it does not matter how Kustomize came by the value, nor which of
// several places is the last to set it: the others have no effect.
//
// [ProposeVersion] brings a new version to Git, of which a run has made the artifact: its manifest as a
// file, the line in a kustomization that lists it, and the line of a stage if there is one, in one commit.
// It is tried as a whole first: nothing else may become different in the overlay.
//
// What it never does: guess, write YAML anew, replace what is on a branch that is not below sluice/, or let
// a name into the name of a branch, or into a message, that was not checked.
package proposal
