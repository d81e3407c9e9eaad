package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The model of the story, and what is done with it. The namespace of its name has the Model and
// its stage production.
const (
	model       = "churn"
	oldVersion  = "v1"
	goodVersion = "v2"
	badVersion  = "v3"

	makeNamespaces = "kubectl create namespace churn && kubectl create namespace churn-staging"
	makeSecret     = "kubectl create secret generic store -n churn --from-env-file=../store.env"
	commitVersions = `git add overlays && git commit -qm "churn: three versions" && git push -q`
	applyChurn     = "kubectl apply -k overlays/sluice/churn"
	showStages     = "sed -n '/name: staging/,$p' overlays/models/churn/model.yaml"
	getVersions    = "sluice get modelversions -n churn"
	getModels      = "sluice get models -n churn"
	getPromotions  = "kubectl get promotions -n churn"
	askWhy         = "sluice why churn --stage production -n churn"

	nextRuns = "sluice retrain next churn -n churn --count 2"
	trainNow = "sluice retrain run churn -n churn --wait"
	getRuns  = "sluice retrain runs churn -n churn"

	mergeTrained = "git merge -q --no-edit $(git for-each-ref --sort=-committerdate --count=1 --format='%(refname)' refs/remotes/origin/sluice/retrain/) && git push -q"
)

// register writes the file of a version.
func register(version, auc string) string {
	return fmt.Sprintf("sluice model register s3://models/churn/%[1]s/ --model churn --version %[1]s --metric auc=%[2]s \\\n"+
		"       --secret store --to overlays/models/churn/versions", version, auc)
}

// editStaging changes the line that says which version serves in staging.
func editStaging(version string) string {
	return `sed -i "/name: staging/,/version:/s/version: v[-0-9]*/version: ` + version + `/" overlays/models/churn/model.yaml`
}

func commitStaging(version string) string {
	return `git commit -qam "churn: ` + version + ` in staging" && git push -q`
}

// The branches on which the agent proposes a version that was trained, that production serve one, and that
// it serve again what it did before.
func trainedBranch(version string) string   { return "sluice/retrain/churn-" + version }
func promotionBranch(version string) string { return "sluice/promote/churn-production-" + version }
func revertBranch(version string) string    { return "sluice/revert/churn-production-" + version }

func look(branch string) string { return "git fetch -q && git show -U0 origin/" + branch }

func merge(branch string) string {
	return "git merge -q --no-edit origin/" + branch + " && git push -q"
}

// wish is what a stage is to come to.
type wish func(v1alpha1.StageStatus) bool

// serves wishes that a stage serve a version, with nothing else on its way.
func serves(stage, version string) wish {
	return func(s v1alpha1.StageStatus) bool {
		return s.Name == stage && s.Phase == v1alpha1.StageServing && s.Version == version
	}
}

// proposed wishes that a version be proposed for production.
func proposed(version string) wish {
	return func(s v1alpha1.StageStatus) bool {
		return s.Proposed == version && proposalOf(s) == promotionBranch(version)
	}
}

// tried wishes that a version have traffic in production, to be looked at or for good.
func tried(version string) wish {
	return func(s v1alpha1.StageStatus) bool {
		return s.Name == "production" && (s.Candidate == version && s.Traffic > 0 || s.Version == version)
	}
}

// held wishes that a version be turned back, while another serves.
func held(version, serving string) wish {
	return func(s v1alpha1.StageStatus) bool {
		return s.Phase == v1alpha1.StageHeld && s.Candidate == version && s.Version == serving
	}
}

// await shows every change of a stage until all wishes have come true.
func (d *demo) await(ctx context.Context, wishes ...wish) error {
	return d.models(ctx, func(m *v1alpha1.Model) bool {
		return !slices.ContainsFunc(wishes, func(w wish) bool { return !slices.ContainsFunc(m.Status.Stages, w) })
	})
}

// models shows every change of a stage until done says so.
func (d *demo) models(ctx context.Context, done func(*v1alpha1.Model) bool) error {
	return follow(ctx, d.client, &v1alpha1.ModelList{}, func(m *v1alpha1.Model) bool {
		d.board.seeModel(m)
		return done(m)
	})
}

// checkTraffic looks where the Service in production leads.
func (d *demo) checkTraffic(ctx context.Context, version string) error {
	var service corev1.Service
	if err := d.client.Get(ctx, client.ObjectKey{Namespace: model, Name: model}, &service); err != nil {
		return err
	}
	if to := service.Spec.Selector[v1alpha1.VersionLabel]; to != version {
		return fmt.Errorf("Service %s/%s leads to %s, not to %s", model, model, to, version)
	}
	return nil
}
