# Two commands do everything: `make tune` and `make test`. `make help` lists the rest.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
STORAGE ?= results
# A file at a time, in order: the longest comes first.
ON_CORES = $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder
# Only this machine sees the pages; docs/mlflow.md tells how to let others, with a password.
UI_HOST ?= 127.0.0.1
UI_PORT ?= 5000

# Neither Ray nor MLflow reports usage, unless you ask them to.
export RAY_USAGE_STATS_ENABLED ?= 0
export MLFLOW_DISABLE_TELEMETRY ?= true

.DEFAULT_GOAL := help
.PHONY: help env tune smoke test test-fast test-cluster lint types format ui dashboard chaos bench bench-scaling bench-trials bench-threads clean fuzz test-chaos

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

test: $(READY)  ## all tests, on up to 8 cores at once
	$(ON_CORES)

test-fast: $(READY)  ## the unit tests alone
	$(ON_CORES) -m "not slow"

test-cluster: $(READY)  ## a cluster of hosts on this machine, brought up, searched on, harmed, taken down; needs root
	$(BIN)/python -m pytest -m cluster tests/cluster

test-chaos: $(READY)  ## a real search whose driver is killed once, and resumed
	$(BIN)/python -m pytest -m chaos tests/chaos

fuzz: $(READY)  ## damaged files of every format: a scene or an error of the package (ARGS="--count 20000 --seed 7")
	$(BIN)/python tests/files/fuzzing.py $(ARGS)

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

ui: $(READY)  ## open MLflow on the studies in STORAGE (default: results), or on MLFLOW_TRACKING_URI
	@store="$${MLFLOW_TRACKING_URI:-sqlite:///$(abspath $(STORAGE))/mlflow.db}"; \
	case "$$store" in \
	http*) echo "MLFLOW_TRACKING_URI is a server's address; its pages are at $$store";; \
	sqlite:///*) file="$${store#sqlite:///}"; \
	  test -f "$$file" || { echo "error: there is no $$file; run a search first, or give STORAGE=DIRECTORY"; exit 1; }; \
	  exec $(BIN)/mlflow ui --backend-store-uri "$$store" --host $(UI_HOST) --port $(UI_PORT);; \
	*) exec $(BIN)/mlflow ui --backend-store-uri "$$store" --host $(UI_HOST) --port $(UI_PORT);; \
	esac

dashboard: $(READY)  ## open Optuna's dashboard on a study: STUDY=results/NAME
	@test -f "$(STUDY)/optuna.db" || { echo "error: no study at STUDY='$(STUDY)'; give STUDY=results/NAME, a folder with an optuna.db"; exit 1; }
	@test -x $(BIN)/optuna-dashboard || $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[dashboard]'
	$(BIN)/optuna-dashboard sqlite:///$(abspath $(STUDY))/optuna.db --host 127.0.0.1 --port 8080

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
