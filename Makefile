# `make repro` runs the pipeline, `make test` the tests; both set up .venv when needed.

PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

repro: .venv/ready
	$(BIN)/python -m stages

test: .venv/ready
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check

# The studies beside the main job: each trains what its table lacks. The report shows the seeds.
seeds: .venv/ready
	$(BIN)/python -m stages.studies reports/seeds.csv --seeds 5
	$(BIN)/dvc repro

fast: .venv/ready
	$(BIN)/python -m stages.studies reports/fast.csv

search: .venv/ready
	set -e; for table in reports/search/*.csv; do $(BIN)/python -m stages.studies $$table; done

# What the README says of speed and of faults, measured on this machine.
bench: .venv/ready
	$(BIN)/python -m tests.benchmarks

torture: .venv/ready
	$(BIN)/python -m pytest tests/torture --torture

# Python's own venv and pip, with every version pinned; made anew when a pin changes.
.venv/ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "$(PYTHON) is no Python 3.11 or newer; use: make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@

.PHONY: repro test lint seeds fast search bench torture
