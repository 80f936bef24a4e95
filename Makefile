# Every target works from a bare clone with Python 3.11+ and make.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The first Python that runs and is new enough; a name on PATH may be a shim that leads nowhere.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
FRONT := hub/web/front
SERVICES ?= found
WORKERS ?= auto

.PHONY: help setup demo test check bench services policies lock format clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.python $(VENV)/.front ## environment and locked dependencies only

# What builds the few packages that come as sources is locked too, and installed first.
$(VENV)/.python: requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "Python 3.11 or later is needed; name one with make PYTHON=/path/to/python3"; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	$(PIP) --require-hashes -r <(sed -n '/^setuptools==/,/[^\]$$/p' requirements.lock)
	$(PIP) --require-hashes --no-build-isolation --use-pep517 -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

# The pages' scripts come from npm, locked with hashes; where Node is missing, from a Python wheel.
$(VENV)/.front: $(VENV)/.python $(FRONT)/package-lock.json $(FRONT)/build.mjs $(wildcard $(FRONT)/src/*)
	PATH="$$PWD/$(BIN):$$PATH" $(FRONT)/build.sh
	@touch $@

demo: setup ## demo territory through the real connectors, then the server on http://127.0.0.1:8000
	$(BIN)/hub demo

test: setup ## everything that can pass without a running service; SERVICES=required insists on them
	SERVICES=$(SERVICES) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

check: setup ## format, lint, types, import contracts, policies, generated documents
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n0 tests/policy/test_rego.py tests/policy/test_module.py tests/deploy/test_files.py
	$(BIN)/python -m tests.documents --check

bench: setup ## every benchmark beside its peer; prints a table, writes benchmarks.json
	$(BIN)/python -m tests.benchmarks

services: setup ## installs and starts what the service tests need, and says what is missing
	deploy/services

policies: setup ## the module the hub decides by, compiled anew from policies/ (needs OPA)
	PATH="$$PWD/build/bin:$$PATH" $(BIN)/hub policy compile

lock: ## new lock files from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --output-file requirements.lock

format: setup ## format and sort in place
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove everything built
	rm -rf $(VENV) build dist hub/web/static/dist $(FRONT)/node_modules
