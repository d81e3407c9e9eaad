package proposal

import (
	"regexp"
	"strings"

	"github.com/sluice-dev/sluice/agent/gitrepo"
	"k8s.io/apimachinery/pkg/types"
)

// Purpose is what a branch is for.
type Purpose string

const (
	// Promote: a version is to serve in another stage.
	Promote Purpose = "promote"
	// Revert: a version that failed is taken back.
	Revert Purpose = "revert"
	// Retrain: a run has made a version.
	Retrain Purpose = "retrain"
)

// Names as the API server lets them through. They are checked again, as a Model of another time
// or from a file may have others.
var (
	labelName   = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	versionName = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9._]{0,61}[A-Za-z0-9])?$`)
)

func checkNames(model, stage string, versions ...string) error {
	if !labelName.MatchString(model) || !labelName.MatchString(stage) {
		return errorf(Invalid, "the names of the Model and of the stage have to be of lower-case letters, digits and '-'; they are %.100q and %.100q", model, stage)
	}
	for _, v := range versions {
		if !versionName.MatchString(v) {
			return errorf(Invalid, "the version has to be of letters, digits, '-', '.' and '_', and at most 63 of them; it is %.100q", v)
		}
	}
	return nil
}

func checkModel(model types.NamespacedName, stage, version string) error {
	if model.Namespace != "" && !labelName.MatchString(model.Namespace) {
		return errorf(Invalid, "the namespace of the Model has to be of lower-case letters, digits and '-'; it is %.100q", model.Namespace)
	}
	return checkNames(model.Name, stage, version)
}

// Branch is the name of the branch on which a version is promoted to a stage, or taken back.
func Branch(purpose Purpose, model, stage, version string) (string, error) {
	if err := checkNames(model, stage, version); err != nil {
		return "", err
	}
	return purpose.branch(version, model, stage, version)
}

// VersionBranch is the name of the branch on which a version comes to Git.
func VersionBranch(model, version string) (string, error) {
	if !labelName.MatchString(model) || !versionName.MatchString(version) {
		return "", errorf(Invalid, "the name of the Model has to be of lower-case letters, digits and '-', and the version of letters, digits, '-', '.' and '_'; they are %.100q and %.100q", model, version)
	}
	return Retrain.branch(version, model, version)
}

// IsVersionBranch tells whether a branch is one on which a version comes to Git.
func IsVersionBranch(branch string) bool {
	return strings.HasPrefix(branch, gitrepo.Branches+string(Retrain)+"/")
}

func (p Purpose) branch(version string, names ...string) (string, error) {
	branch := gitrepo.Branches + string(p) + "/" + strings.Join(names, "-")
	if err := gitrepo.CheckBranch(branch); err != nil {
		return "", errorf(Invalid, "the version %s cannot be a part of the name of a branch in Git: name it without two dots in a row, and without .lock at the end", version)
	}
	return branch, nil
}
