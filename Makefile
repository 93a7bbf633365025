# Everything a developer or a first-time user runs. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?=
VENV ?= .venv
SITE ?= .site
HTTP_PORT ?= 9380
GRPC_PORT ?= 9360
# Of `make demo-sites`: a folder for three sites, and the first of three ports each.
SITES ?= .sites
SITES_HTTP_PORT ?= 9480
SITES_GRPC_PORT ?= 9460
PYTEST_ARGS ?=
BENCH ?= $(sort $(notdir $(basename $(wildcard benchmarks/*.py))))

BIN := $(VENV)/bin
# `make test` installs the package in place, which serves the other targets as well.
RUN_STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.installed-test
SOURCES := setup.cfg setup.py pyproject.toml MANIFEST.in constraints.txt \
	$(shell find plugins dags dsl_examples -type f -not -name '*.pyc' -not -path '*.egg-info/*' 2>/dev/null)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16
	@echo
	@echo "variables: PYTHON=python3.12 VENV=.venv SITE=.site HTTP_PORT=9380 GRPC_PORT=9360 PYTEST_ARGS=..."

$(BIN)/python:
	@bash scripts/make_venv.sh "$(VENV)" "$(PYTHON)"

$(RUN_STAMP): $(SOURCES) | $(BIN)/python
	@if [ -e $(TEST_STAMP) ]; then exit 0; fi; \
		echo "installing the package (a few minutes the first time) ..."; \
		$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt .
	@touch $@

$(TEST_STAMP): setup.cfg setup.py pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing the package for development (a few minutes the first time) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt \
		-e '.[test,dev,postgres,mysql,celery]'
	@touch $@

.PHONY: install
install: $(RUN_STAMP) ## install the package into .venv

.PHONY: demo
demo: $(RUN_STAMP) ## from nothing to a federated logistic regression; leaves the site running
	@$(BIN)/fate_flow init --home "$(SITE)" --http-port $(HTTP_PORT) --grpc-port $(GRPC_PORT)
	@$(BIN)/fate_flow service start --home "$(SITE)"
	@$(BIN)/fate_flow demo --home "$(SITE)"
	@echo
	@echo "The site keeps running. Look: $(BIN)/fate_flow service status --home $(SITE)   stop: make stop"

.PHONY: demo-sites
demo-sites: $(RUN_STAMP) ## the same between three sites on this machine, over mutual TLS; leaves them running
	@$(BIN)/fate_flow demo-sites --home "$(SITES)" \
		--http-port $(SITES_HTTP_PORT) --grpc-port $(SITES_GRPC_PORT)
	@echo
	@echo "The sites keep running. stop: make stop-sites"

.PHONY: stop-sites
stop-sites: ## stop the sites in .sites
	@if [ -x $(BIN)/fate_flow ]; then $(BIN)/fate_flow demo-sites --stop --home "$(SITES)"; fi

.PHONY: start
start: $(RUN_STAMP) ## start the site in .site
	@$(BIN)/fate_flow init --home "$(SITE)" --http-port $(HTTP_PORT) --grpc-port $(GRPC_PORT)
	@$(BIN)/fate_flow service start --home "$(SITE)"

.PHONY: stop
stop: ## stop the site in .site
	@if [ -x $(BIN)/fate_flow ]; then $(BIN)/fate_flow service stop --home "$(SITE)"; fi

.PHONY: test
test: $(TEST_STAMP) ## all tests
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: test-fast
test-fast: $(TEST_STAMP) ## the tests that start no processes (under two minutes)
	@$(BIN)/python -m pytest -n auto -m "not slow" $(PYTEST_ARGS)

.PHONY: lint
lint: $(TEST_STAMP) ## ruff, mypy, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy plugins/fate_flow
	@$(BIN)/lint-imports

.PHONY: bench
bench: $(TEST_STAMP) ## benchmarks; figures go to bench-results/ (BENCH=crypto: only that one)
	@mkdir -p bench-results
	@for name in $(BENCH); do \
		echo "== $$name"; options=(); \
		if grep -q -- '"--json"' "benchmarks/$$name.py"; then options=(--json "bench-results/$$name.json"); fi; \
		$(BIN)/python "benchmarks/$$name.py" "$${options[@]}" 2>&1 | tee "bench-results/$$name.txt"; \
	done

.PHONY: clean
clean: stop stop-sites ## stop the sites; remove .venv, .site, .sites and caches
	@rm -rf "$(VENV)" "$(SITE)" "$(SITES)" build dist bench-results .pytest_cache .mypy_cache .ruff_cache \
		.hypothesis .import_linter_cache plugins/*.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
