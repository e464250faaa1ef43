# `make` alone lists what there is. Needs Python 3.11 or newer and make, nothing else.
SHELL := bash
.SHELLFLAGS := -eo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help env book study test lint bench notebooks pins clean

PYTHON ?= python3
JOBS ?= 2
MODEL ?= mini
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
PAGE := _build/html/index.html
COMMITTED := $(wildcard notebooks/*.ipynb)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

env: $(STAMP) ## make .venv and install everything that reading and testing need

$(BIN)/python:
	@echo "==> making $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "fluxlens needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "==> installing into $(VENV) (some minutes the first time)"
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off \
	  -c constraints.txt -e '.[book,test]'
	@touch $@

book: env ## execute the notebooks and build the book, then say which page to open
	@echo "==> executing the notebooks"
	@$(BIN)/python -m tools.notebooks execute --jobs $(JOBS)
	@echo "==> building the book"
	@$(BIN)/python -m tools.notebooks stage
	@# After a failure the next build starts afresh: Sphinx does not repeat a warning it has given.
	@$(BIN)/jupyter-book build _build/src --path-output . --quiet -W --keep-going \
	  || { rm -rf _build/html _build/.doctrees; echo "the book did not build" >&2; exit 1; }
	@echo "==> the book is ready, open $(CURDIR)/$(PAGE)"

study: env ## make every picture of the study with mini, let the oracle judge them, print the tables
	@echo "==> making the pictures"
	@$(BIN)/fluxlens run --model $(MODEL) --results results
	@echo "==> judging them"
	@$(BIN)/fluxlens judge --model $(MODEL) --judge oracle --results results
	@$(BIN)/fluxlens tables --verdicts results/$(notdir $(MODEL))/verdicts/oracle

lint: env ## ruff and mypy
	@echo "==> ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "==> mypy"
	@$(BIN)/mypy

# One thread per worker: two workers that each want every core only wait for one another.
test: export OMP_NUM_THREADS ?= 1
test: export MPLBACKEND ?= agg
test: lint ## lint, then pytest, then compare every committed output with what the code prints now
	@echo "==> pytest"
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadscope
ifneq ($(COMMITTED),)
	@echo "==> nbval"
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadscope --nbval --nbval-current-env \
	  --nbval-sanitize-with notebooks/nbval.cfg $(COMMITTED)
else
	@echo "==> nbval: there are no notebooks yet"
endif

bench: env ## time every recipe beside a plain edit, and a block of klein-9B's width: wants an idle machine
	@echo "==> recipes"
	@$(BIN)/python -m benchmarks recipes --model $(MODEL)
	@echo "==> a block of klein-9B's width (about an hour on a few cores)"
	@$(BIN)/python -m benchmarks --rounds 3 block

notebooks: env ## execute the notebooks in place and clean them for committing
	@echo "==> executing and cleaning notebooks/"
	@$(BIN)/python -m tools.notebooks refresh --jobs $(JOBS)

pins: env ## resolve every dependency anew and write constraints.txt
	@echo "==> resolving"
	@$(BIN)/python tools/pins.py

clean: ## remove what was built and cached; .venv stays
	rm -rf _build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
