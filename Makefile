# `make` alone lists what there is. Needs Python 3.11 or newer and make, nothing else.
SHELL := bash
.SHELLFLAGS := -eo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help env lab book check-book study full estimate pictures verdicts pages test test-fast lint
.PHONY: bench notebooks pins clean

PYTHON ?= python3
JOBS ?= 2
MODEL ?= mini
DTYPE ?= bfloat16
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
COMMITTED := $(wildcard notebooks/*.ipynb)

# The book of a run at full scale, `make book RUN=klein-9b`, is built beside its notebooks.
OUT := $(if $(RUN),runs/$(RUN),.)
EXECUTED := $(if $(RUN),runs/$(RUN),_build/executed)
HTML := $(OUT)/_build/html
# What a study takes, each where it is given: make full MODEL=klein-9b JUDGE=claude WORKERS=8
STUDY := $(if $(JUDGE),--judge $(JUDGE)) $(if $(BUDGET),--budget $(BUDGET)) \
  $(if $(WORKERS),--workers $(WORKERS)) $(if $(LIMIT),--limit $(LIMIT)) \
  $(if $(RESULTS),--results $(RESULTS)) $(if $(FAMILY),--family $(FAMILY)) \
  $(if $(EXTRAS),--extras $(EXTRAS)) \
  $(if $(AVAILABLE),--available) $(if $(OFFLOAD),--offload) $(if $(GPU),--gpu $(GPU))
FULL = $(BIN)/python -m tools.full $(STUDY)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

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

lab: env ## add JupyterLab with the live panel's widgets, and open it on the notebooks
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[lab]'
	$(BIN)/jupyter lab notebooks

book: env ## execute the notebooks and build the book (RUN=…: of a run at full scale, as executed)
ifeq ($(RUN),)
	@echo "==> executing the notebooks"
	@$(BIN)/python -m tools.notebooks execute --jobs $(JOBS)
endif
	@echo "==> building the book"
	@$(BIN)/python -m tools.notebooks stage --into $(EXECUTED) --to $(OUT)/_build/src
	@# After a failure the next build starts afresh: Sphinx does not repeat a warning it has given.
	@$(BIN)/jupyter-book build $(OUT)/_build/src --path-output $(OUT) --quiet -W --keep-going \
	  || { rm -rf $(HTML) $(OUT)/_build/.doctrees; echo "the book did not build" >&2; exit 1; }
	@echo "==> the book is ready, open $(abspath $(HTML))/index.html"

check-book: env ## open every page of the built book in headless Chromium, follow every link
	@FLUXLENS_BOOK=$(abspath $(HTML)) $(BIN)/python -m pytest tests/test_book_built.py

study: env ## the whole study with both minis: pictures, the oracle's verdicts, tables
	@for model in mini mini-direct; do \
	  $(FULL) --model $$model --parts pictures verdicts tables || exit 1; done

full: env ## the study with any MODEL: price, pictures, verdicts, tables, notebooks into runs/
	@$(FULL) --model $(MODEL)

estimate: env ## … only what it will take
	@$(FULL) --model $(MODEL) --parts estimate

pictures: env ## … only its pictures
	@$(FULL) --model $(MODEL) --parts pictures

verdicts: env ## … only its verdicts, and the tables they make
	@$(FULL) --model $(MODEL) --parts verdicts tables

pages: env ## … only the notebooks, on what there is
	@$(FULL) --model $(MODEL) --parts pages

lint: env ## ruff and mypy
	@echo "==> ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "==> mypy"
	@$(BIN)/mypy

# One thread per worker: two workers that each want every core only wait for one another.
book notebooks test test-fast: export OMP_NUM_THREADS ?= 1
test test-fast: export MPLBACKEND ?= agg
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

test-fast: env ## only ruff and quick tests: no mypy, no slow ones, no tour of all families, no nbval
	@$(BIN)/ruff check .
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadscope -m "not slow" \
	  --ignore tests/test_families.py --ignore tests/test_families_stock.py

bench: env ## time every recipe beside a plain edit, and a block of klein-9B's width: wants an idle machine
	@echo "==> recipes (a quarter of an hour)"
	@$(BIN)/python -m benchmarks --rounds 51 recipes --model $(MODEL)
	@$(BIN)/python -m benchmarks --rounds 7 compiled --model $(MODEL)
	@echo "==> a block of klein-9B's width (minutes; an hour in float32, where a processor has no bfloat16)"
	@$(BIN)/python -m benchmarks --rounds 3 block --few --dtype $(DTYPE)

notebooks: env ## execute the notebooks in place and clean them for committing
	@echo "==> executing and cleaning notebooks/"
	@$(BIN)/python -m tools.notebooks refresh --jobs $(JOBS)

pins: env ## resolve every dependency anew and write constraints.txt
	@echo "==> resolving"
	@$(BIN)/python tools/pins.py

clean: ## remove what was built and cached; .venv stays
	rm -rf _build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
