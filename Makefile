# Targets a newcomer needs: demo and test. The rest is for the people who work on Sluice.
export CGO_ENABLED ?= 0
export GOFLAGS := -trimpath

.PHONY: generate
generate: ## CRDs, RBAC and deepcopy from the Go types
	go tool controller-gen object paths=./agent/api/... crd:maxDescLen=1024 output:crd:artifacts:config=manifests/crds
