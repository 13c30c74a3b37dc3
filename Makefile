# Each target first brings .venv up to date, and is run by it.

PYTHON ?= python3
SEEDS ?= 5
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONSAFEPATH :=

help: ## list the targets; times are from nothing, on two cores
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

repro: environment ## the pipeline, from clone to report: 8 to 19 minutes; a repetition, seconds
	$(BIN)/python -m stages

test: environment ## the tests: 7 to 17 minutes
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

verify: environment ## is every byte of the main job the committed one here? as long as repro
	$(BIN)/python -m tests.verify

lint: environment ## style, types, and that imports go one way: seconds
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-cache

# Studies (studies.yaml): each trains what its record in reports/studies lacks.
study: environment ## NAME=minute, or another study of studies.yaml; RAY=auto: on a Ray cluster
	$(BIN)/python -m stages.studies $(NAME) $(if $(RAY),--ray $(RAY))

seeds: environment ## SEEDS=5 seeds of each model, and the report with them: 40 minutes
	$(BIN)/python -m stages.studies seeds --seeds $(SEEDS)
	$(BIN)/python -m dvc repro

causes: environment ## what interventions do to the networks of the seeds: 40 minutes, on two cores
	$(BIN)/python -m stages.studies.causes

gradients: environment ## how gradients grow with depth before any training: a minute
	$(BIN)/python -m stages.studies.gradients

fast: environment ## five seeds by the recipe of four epochs: 10 minutes
	$(BIN)/python -m stages.studies minute

bench: environment ## what the README says of speed, measured here: 20 minutes
	$(BIN)/python -m tests.benchmarks

# DVC only adds to a remote, so it is filled anew, once all that it is to hold is in the cache.
publish: environment ## what dvc.lock pins of the models, into data/published: seconds
	$(BIN)/python -m dvc fetch --remote published
	rm -rf data/published
	$(BIN)/python -m dvc push --remote published

experiments: environment ## the README's session of experiments, written down anew: five minutes
	$(BIN)/python -m tests.experiments

torture: environment ## what the README says of faults, at full length: 50 minutes
	$(BIN)/python -m pytest tests/torture tests/test_process.py tests/test_studies.py \
		tests/test_surroundings.py tests/test_experiments.py tests/test_teams.py \
		tests/test_report.py tests/test_sources.py --torture -m ""

environment: ## .venv with the versions of requirements.txt: minutes, 6 GB (PYTHON=python3.12 for another than python3)
	@"$(PYTHON)" .ci/environment.py

.PHONY: help repro test verify lint study seeds causes gradients fast bench publish experiments torture environment
