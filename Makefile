# `make repro` runs the pipeline, `make test` the tests; both set up .venv when needed.

PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

repro: .venv/ready
	python -m stages.repro

test: .venv/ready
	python -m pytest

lint: .venv/ready
	ruff check
	ruff format --check

# Python's own venv and pip, with every version pinned; made anew when a pin changes.
.venv/ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "$(PYTHON) is no Python 3.11 or newer; use: make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@

.PHONY: repro test lint
