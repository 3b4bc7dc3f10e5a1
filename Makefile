# `make` alone lists the targets.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install --quiet
export DO_NOT_TRACK := 1
export KEDRO_DISABLE_TELEMETRY := 1
export SCARF_ANALYTICS := false

.DEFAULT_GOAL := help
.PHONY: help run dev dev-deep test test-deep test-e2e lint bench lock viz airflow manifest clean-data

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamps `.venv/.core` and `.venv/.dev` say which lock file is installed. The core is a part
# of the development lock, at the same versions, so the second satisfies the first.
.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.core: requirements/core.txt pyproject.toml | .venv/bin/python
	@echo "Installing the core (about a minute) ..."
	$(PIP) --require-hashes -r requirements/core.txt
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: requirements/dev.txt pyproject.toml | .venv/bin/python
	@echo "Installing every extra but deep (about two minutes) ..."
	$(PIP) --require-hashes -r requirements/dev.txt
	$(PIP) --no-deps --no-build-isolation -e .
	@touch .venv/.core $@

# PyTorch first and by its exact version, for its builds have hashes of their own: pip takes the CPU
# build where it is offered one (PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL says where), and otherwise, on
# Linux, one for CUDA with gigabytes of libraries. It asks for nothing else that `.dev` has not.
.venv/.deep: requirements/deep.txt .venv/.dev
	@echo "Installing the extra deep (about a minute; 0.3 GB to download, 1.2 GB on disk) ..."
	$(PIP) "$$(grep -o 'torch==[0-9.]*' pyproject.toml)"
	$(PIP) --require-hashes -r requirements/deep.txt
	@touch $@

run: .venv/.core ## run the whole line on the New York flights
	$(BIN)/kedro run
	@echo "  make viz    the pipelines, in the browser"
	@echo "Two days later, how good were they?"
	@echo "  .venv/bin/kedro run --params as_of=2013-12-17"

dev: .venv/.dev ## install every extra but deep

dev-deep: .venv/.deep ## install the extra deep too: PyTorch and what is built on it

test: .venv/.dev ## run the tests that need nothing but Python
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

test-deep: .venv/.deep ## run the tests of the deep learning engines
	$(BIN)/pytest -m deep tests/models

test-e2e: .venv/.dev ## run the tests on whole data sets, and those that start servers
	$(BIN)/pytest -m e2e tests/e2e

lint: .venv/.dev ## format, lint, types, import layers
	$(BIN)/pre-commit run --all-files --show-diff-on-failure

bench: .venv/.deep ## run the benchmarks (many minutes; leave the machine alone)
	$(BIN)/python benchmarks/etl.py
	$(BIN)/python benchmarks/models.py
	$(BIN)/python benchmarks/crossover.py
	$(BIN)/python benchmarks/parallel.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/rerun.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/accuracy.py m3 tourism fr_load
	$(BIN)/python benchmarks/accuracy.py m4_hourly flights --deep NHITS

lock: ## compile the lock files again (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --extra airflow --extra viz --extra dashboard --extra serve --extra docs --extra postgres \
	  --extra s3 --extra cluster --extra dev \
	  pyproject.toml requirements/build.in -o requirements/dev.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  -c requirements/dev.txt pyproject.toml requirements/build.in -o requirements/core.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  -c requirements/dev.txt --excludes requirements/deep-excludes.txt --no-emit-package torch \
	  --extra deep pyproject.toml requirements/build.in -o requirements/deep.txt

viz: .venv/.dev ## open kedro-viz on the pipelines
	$(BIN)/kedro viz run

airflow: .venv/.dev ## start Airflow locally, on its embedded defaults
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/airflow-local

manifest: .venv/.dev ## write the graph that the Airflow DAG reads
	$(BIN)/python -m clepsydra.orchestration.manifest

clean-data: ## delete everything that runs have made
	rm -rf data/0*
