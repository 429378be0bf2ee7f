# Two commands do everything: `make tune` and `make test`. `make help` lists the rest.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
STORAGE ?= results

# Neither Ray nor MLflow reports usage, unless you ask them to.
export RAY_USAGE_STATS_ENABLED ?= 0
export MLFLOW_DISABLE_TELEMETRY ?= true

.DEFAULT_GOAL := help
.PHONY: help env tune smoke test test-fast lint types format ui chaos bench bench-scaling bench-trials bench-threads clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | column -t -s "$$(printf '\t')"

env: $(READY)  ## make .venv with every package pinned

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON) here; install Python 3.11 or give PYTHON=python3.x"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[dev]'
	@touch $(READY)

tune: $(READY)  ## the main job: search S2AMSnet on real data (ARGS="--smoke-test" for more flags)
	$(BIN)/python experiments/tune_s2amsnet.py $(ARGS)

smoke: $(READY)  ## every part of the main job once, a minute
	$(BIN)/python experiments/tune_s2amsnet.py --smoke-test

test: $(READY)  ## all tests
	$(BIN)/python -m pytest

test-fast: $(READY)  ## the unit tests alone
	$(BIN)/python -m pytest -m "not slow"

chaos: $(READY)  ## kill, fill and starve real searches and count what is lost (ARGS="--kills 50 --kinds driver")
	$(BIN)/python tests/chaos/chaos.py $(ARGS)

lint: $(READY)  ## ruff, and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)  ## mypy, strict
	$(BIN)/mypy

format: $(READY)  ## let ruff rewrite
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

ui: $(READY)  ## open MLflow on the studies in STORAGE (default: results)
	$(BIN)/mlflow ui --backend-store-uri sqlite:///$(abspath $(STORAGE))/mlflow.db --port 5000

bench: $(READY)  ## speed, memory and equality beside plain PyTorch, with a picture (ARGS="--bands 103 --patch 11")
	$(BIN)/python benchmarks/speed.py $(ARGS)

bench-scaling: $(READY)  ## how cost grows with bands, patch, batch and pixels, with a picture
	$(BIN)/python benchmarks/scaling.py $(ARGS)

bench-trials: $(READY)  ## what a search costs beside training
	$(BIN)/python benchmarks/trial_overhead.py $(ARGS)

bench-threads: $(READY)  ## many trials of one thread against one of many
	$(BIN)/python benchmarks/threads.py $(ARGS)

clean:  ## remove caches; environment and results stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find platform tests -name __pycache__ -type d -prune -exec rm -rf {} +
