# Two commands do everything: `make tune` and `make test`. `make help` lists the rest.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
STORAGE ?= results
# One test file per process at a time, in order: the longest comes first.
ON_CORES = $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder
# The pages are served on this machine only; docs/mlflow.md explains how to give others access, with a password.
UI_HOST ?= 127.0.0.1
UI_PORT ?= 5000

# Neither Ray nor MLflow reports usage unless you enable it.
export RAY_USAGE_STATS_ENABLED ?= 0
export MLFLOW_DISABLE_TELEMETRY ?= true

.DEFAULT_GOAL := help
.PHONY: help env tune smoke test test-fast test-cluster lint types format ui dashboard chaos bench bench-scaling bench-trials bench-threads clean fuzz test-chaos release-check docs reproduce test-long

help:  ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | column -t -s "$$(printf '\t')"

env: $(READY)  ## create .venv with every package pinned

$(READY): pyproject.toml constraints.txt
	@echo "Making .venv with PyTorch, Ray, MLflow and the rest: about 3 GB, some minutes; nothing is shown meanwhile."
	@command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON) here; install Python 3.11 or give PYTHON=python3.x"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[dev]'
	@touch $(READY)

tune: $(READY)  ## the main job: search S2AMSnet on real data (pass flags by ARGS="--smoke-test")
	$(BIN)/python experiments/tune_s2amsnet.py $(ARGS)

smoke: $(READY)  ## run every part of the main job once, in a minute
	$(BIN)/python experiments/tune_s2amsnet.py --smoke-test

test: $(READY)  ## run all tests, on up to 8 cores
	$(ON_CORES)

test-fast: $(READY)  ## run only the unit tests
	$(ON_CORES) -m "not slow"

test-cluster: $(READY)  ## start a cluster of simulated hosts on this machine, search on it, inject failures, stop it; needs root
	$(BIN)/python -m pytest -m cluster tests/cluster

test-chaos: $(READY)  ## kill the driver of a real search once, and resume it
	$(BIN)/python -m pytest -m chaos tests/chaos

fuzz: $(READY)  ## read damaged files of every format: a scene or an error of the package (ARGS="--count 20000 --seed 7")
	$(BIN)/python tests/files/fuzzing.py $(ARGS)

test-long: $(READY)  ## run further variants of slow tests: whole scenes of published sizes, copied folders, searches inside Ray Train
	$(BIN)/python -m pytest -m long

chaos: $(READY)  ## inject failures into real searches and count what is lost (ARGS="--kills 50 --kinds driver")
	$(BIN)/python tests/chaos/chaos.py $(ARGS)

lint: $(READY)  ## check with ruff, and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)  ## check types with mypy, strict
	$(BIN)/mypy

format: $(READY)  ## format with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## build the documentation site into site/; open site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

ui: $(READY)  ## serve MLflow for the studies in STORAGE (default: results), or for MLFLOW_TRACKING_URI, and open the newest
	@$(BIN)/sceneshift ui --storage-path "$(STORAGE)" --host $(UI_HOST) --port $(UI_PORT)

dashboard: $(READY)  ## serve Optuna's dashboard for a study: STUDY=results/NAME
	@test -f "$(STUDY)/optuna.db" || { echo "error: no study at STUDY='$(STUDY)'; give STUDY=results/NAME, a folder with an optuna.db"; exit 1; }
	@test -x $(BIN)/optuna-dashboard || $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[dashboard]'
	$(BIN)/optuna-dashboard sqlite:///$(abspath $(STUDY))/optuna.db --host 127.0.0.1 --port 8080

reproduce: $(READY)  ## make the tables of a published comparison again, without training: STUDY=results/published/DATE_COMMIT/NAME
	@test -f "$(STUDY)/results.parquet" || { echo "error: no published comparison at STUDY='$(STUDY)'; give STUDY=results/published/DATE_COMMIT/NAME"; exit 1; }
	$(BIN)/python experiments/compare.py $(STUDY)

bench: $(READY)  ## compare speed, memory and results with plain PyTorch, with a picture (ARGS="--bands 103 --patch 11")
	$(BIN)/python benchmarks/speed.py $(ARGS)

bench-scaling: $(READY)  ## measure how cost grows with bands, patch size, batch size and pixels, with a picture
	$(BIN)/python benchmarks/scaling.py $(ARGS)

bench-trials: $(READY)  ## measure what a search costs beyond training
	$(BIN)/python benchmarks/trial_overhead.py $(ARGS)

bench-threads: $(READY)  ## compare many trials with one thread and one trial with many threads
	$(BIN)/python benchmarks/threads.py $(ARGS)

release-check:  ## build sdist and wheel, install the wheel into an empty environment, and search from another folder
	@set -e; work="$$(mktemp -d)"; trap 'rm -rf "$$work"' EXIT; constraints="$(abspath constraints.txt)"; \
	git archive --format=tar HEAD | tar -x -C "$$work" --one-top-level=source; \
	$(PYTHON) -m venv "$$work/build"; "$$work/build/bin/pip" install --quiet build; \
	"$$work/build/bin/python" -m build --outdir "$$work/dist" "$$work/source"; \
	$(PYTHON) -m venv "$$work/empty"; "$$work/empty/bin/pip" install --quiet -c "$$constraints" torch==2.13.0; \
	"$$work/empty/bin/pip" install --quiet -c "$$constraints" "$$work"/dist/*.whl; \
	mkdir "$$work/elsewhere"; cd "$$work/elsewhere"; "$$work/empty/bin/sceneshift" doctor; \
	"$$work/empty/bin/sceneshift" tune s2amsnet --smoke-test; ls "$$work/dist"

clean:  ## remove caches; keep environment and results
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find platform tests -name __pycache__ -type d -prune -exec rm -rf {} +
