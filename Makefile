# A newcomer needs two targets: demo and test. `make help` lists the others.

# One set of flags everywhere: other flags would compile 2,700 packages once more.
export CGO_ENABLED := 0
export GOFLAGS     := -trimpath

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
ONCE    ?=
ONLY    ?=

# The race detector needs a C compiler; where there is none, the tests run without it. Renders
# of the whole platform run without it in any case: they are one goroutine and much memory.
RACE := $(if $(shell command -v gcc),CGO_ENABLED=1 go test -race,go test)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: tools ## a real control plane, Git and the agent at work; ONCE=1 plays the story by itself
	go run ./e2e/demo $(if $(ONCE),-once)

.PHONY: test
test: tools vet ## all tests: unit, scenarios, end to end
	go run ./e2e/prepare
	$(RACE) -short -timeout 20m ./agent/... ./manifests/...
	go test -timeout 20m ./agent/engine ./agent/render ./agent/result ./agent/retrain ./agent/slot
	go test -timeout 30m ./cmd/...
	go test -count=1 -p 2 -timeout 60m ./e2e/...

.PHONY: bench
bench: tools ## what Sluice costs: calls, renders, bytes, times; ONLY=200x5 for one set-up
	go run ./e2e/prepare
	@mkdir -p dist
	BENCH=dist/bench.json ONLY="$(ONLY)" go test -count=1 -timeout 60m -v -run TestBenchmark ./e2e/bench

.PHONY: build
build: ## the program, in bin/
	go build -ldflags "-s -w -X main.release=$(VERSION)" -o bin/sluice ./cmd/sluice

.PHONY: image
image: ## an OCI image of the program, in dist/sluice.tar, without a Docker daemon
	go run ./e2e/image -o dist/sluice.tar

.PHONY: generate
generate: ## CRDs, RBAC and deepcopy from the Go types
	go tool controller-gen object paths=./agent/api/... crd:maxDescLen=1024 output:crd:artifacts:config=manifests/crds
	go tool controller-gen rbac:roleName=sluice-agent paths=./agent/controller/... output:rbac:dir=manifests/rbac

.PHONY: vet
vet: ## what the compiler does not say
	@test -z "$$(gofmt -l agent cmd e2e manifests)" || { echo "not formatted:"; gofmt -l agent cmd e2e manifests; exit 1; }
	go vet ./...

.PHONY: lint
lint: vet ## vet, also of the nested modules, and staticcheck with staticcheck.conf
	go -C e2e/controlplane vet ./...
	go -C e2e/objectstore/server vet ./...
	go -C e2e/forge/server vet ./...
	go tool staticcheck ./agent/... ./cmd/... ./manifests/... ./e2e/...

# What the tests and the demo need besides Go comes from Debian's packages. That of prometheus
# would also serve on this machine: it is kept from it, now (policy-rc.d) and at the next start.
.PHONY: tools
tools:
	@for tool in git tar prometheus ssh-keygen; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	missing=$$(echo "$$missing" | sed 's/ssh-keygen/openssh-client/'); \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			policy=/usr/sbin/policy-rc.d; \
			[ -e $$policy ] || { trap "rm -f $$policy" EXIT; printf '#!/bin/sh\nexit 101\n' >$$policy; chmod +x $$policy; }; \
			apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing || exit 1; \
			case "$$missing" in *prometheus*) update-rc.d prometheus disable;; esac; \
		else echo "please install:$$missing"; exit 1; fi; \
	fi
