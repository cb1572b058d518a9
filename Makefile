# Everything that a person or CI starts. Each target sets up what it needs (scripts/setup.sh) and does nothing twice.
SHELL := /bin/bash
PYTHON := .venv/bin/python
# Two files at a time: most tests wait for somebody.
PYTEST := $(PYTHON) -m pytest -q -n 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help setup setup-test setup-cluster quickstart real-rooms smoke test test-cluster cluster-up node-up cluster-down check crds verify lock bench gpu-carry gpu-check clean

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup:
	@scripts/setup.sh

setup-test:
	@scripts/setup.sh test

setup-cluster:
	@scripts/setup.sh cluster

quickstart: setup ## Turn the loop for four rounds on this machine and write a report
	.venv/bin/evolution run examples/quickstart.yaml
	.venv/bin/evolution report quickstart

real-rooms: setup ## The same on the layouts of 40 real rooms: make real-rooms METADATA=folder of VSI-Bench's meta_info
	@[ -n "$(METADATA)" ] || { echo "say where the metadata is: make real-rooms METADATA=FOLDER" >&2; exit 2; }
	.venv/bin/evolution prepare vsibench $(METADATA) --out scenes/real-rooms --limit 40 --frames 6 --width 64 --height 64
	.venv/bin/evolution run examples/real-rooms.yaml
	.venv/bin/evolution report real-rooms

smoke: setup ## The smallest run that goes through every stage twice
	.venv/bin/evolution run examples/smoke.yaml

test: setup-test check ## All tests that need neither a node nor a GPU
	$(PYTEST) tests/local tests/cluster

test-cluster: setup-cluster ## The tests that run pods, on a real node made for them: needs root
	$(PYTHON) -m pytest -q -m cluster tests/node

cluster-up: setup-test ## Start a Kubernetes control plane on this machine, to try things on: no root, no nodes
	@$(PYTHON) -m tests.testbed up

node-up: setup-cluster ## The same with a node, the training operator and KServe: needs root
	@$(PYTHON) -m tests.testbed up --node

cluster-down: ## Stop it
	@$(PYTHON) -m tests.testbed down

check: setup-test ## Lint, types, import contracts, unit tests
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(PYTEST) tests/unit

crds: setup ## Write the CRD from the models, and what the chart knows of the kinds of children from their registry
	$(PYTHON) -m evolution_api.crd
	$(PYTHON) -m evolution_operator.children.chart

verify: setup ## Fail where a generated file is not what its source gives
	$(PYTHON) -m evolution_api.crd --check
	$(PYTHON) -m evolution_operator.children.chart --check

lock: setup ## Resolve the dependencies anew: names, versions and hashes
	uv=$$(command -v uv || echo .cache/uv/bin/uv); $$uv pip compile pyproject.toml --all-extras --generate-hashes \
	  --python-version 3.11 --no-emit-index-url --no-annotate --no-header -q -o requirements.lock

bench: setup ## Measure what the docs quote
	for bench in bench/*.py; do $(PYTHON) $$bench || exit 1; done

# A machine without this tree's own set-up is a lent one: it brings its own PyTorch, and `gpu-carry` packed the rest.
GPU_PYTHON = $(if $(wildcard $(PYTHON)),$(PYTHON),python3)

gpu-carry: setup ## Make what the GPU check needs on a machine without network, in .gpu
	$(PYTHON) -m bench.gpu.carry

gpu-check: $(if $(CPU),setup) ## Check and measure everything that runs on a GPU; CPU=1, PHASES=0,1, BUDGET_S=300: see bench/gpu/check.py
	@$(if $(CPU),$(PYTHON) -m bench.gpu.carry --cpu)
	@$(GPU_PYTHON) -m bench.gpu.check $(if $(CPU),--cpu) $(if $(PHASES),--phases $(PHASES)) $(if $(BUDGET_S),--budget-s $(BUDGET_S))

clean: ## Remove the environment and the runs
	rm -rf .venv .cache/uv runs
