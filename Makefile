# Set-up and every check. On a fresh machine with Python 3.10 to 3.13 and a package index:
#
#   make search   an environment in .venv, then a whole search on an embedded real graph (a few minutes)
#   make test     the same environment, then the tests
#
# Settings: PYTHON=python3.12 (which one makes the environment), VENV=.venv, DATA=digits (what is searched),
# SEARCH="--strategy random" (more for gnas search), TESTS="-k depth" (more for pytest).

SHELL := /bin/bash
VENV ?= .venv
DATA ?= digits
RUN = $(basename $(notdir $(DATA)))
WORKERS ?= 2
BIN := $(VENV)/bin
INSTALL := PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet
# One thread a worker: the tests are small, and two workers with a pool each would get in each other's way.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q

.PHONY: help search test slow lint types check format constraints clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#   //p' Makefile
	@echo "also: slow (the long tests), lint, types, check (all of these), format, constraints, clean"

# A run is never overwritten, so each call takes the next free folder.
search: $(VENV)/installed
	@n=1; while [ -e runs/$(RUN)-$$n ]; do n=$$((n + 1)); done; \
	$(BIN)/gnas search $(DATA) --folder runs/$(RUN)-$$n $(SEARCH)

test: $(VENV)/installed-dev
	$(PYTEST) -n $(WORKERS) -m "not slow" $(TESTS)

slow: $(VENV)/installed-dev
	$(PYTEST) -m slow $(TESTS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev
	$(BIN)/mypy

check: lint types test slow

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The newest versions that go together, with torch kept where it is pinned: edit that line to move it.
constraints: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet uv
	@{ sed -n '/^#/p' constraints.txt; \
	   $(BIN)/uv pip compile --quiet --universal --python-version 3.10 --no-header --no-annotate --extra dev \
	     --constraint <(grep '^torch==' constraints.txt) setup.cfg | grep -vE '^(cuda|nvidia|triton)'; } > constraints.new
	mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

# Installed once; again when the dependencies change.
$(VENV)/installed: setup.cfg pyproject.toml constraints.txt | $(BIN)/pip
	@echo "installing gnas and the versions of constraints.txt into $(VENV); the first time takes some minutes"
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@$(INSTALL) --editable '.[dev]'
	@touch $@

# PYTHON as given, else the first that fits. A version manager's stub may be on the path without a Python behind it,
# so each one is asked for its version.
$(BIN)/pip:
	@for python in $(or $(PYTHON),python3 python3.12 python3.11 python3.13 python3.10 python); do \
	  "$$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || continue; \
	  echo "making $(VENV) with $$("$$python" --version)"; \
	  "$$python" -m venv $(VENV) && exit 0; \
	  rm -rf $(VENV); \
	  exit 1; \
	done; \
	echo "gnas needs Python 3.10 to 3.13; tried $(or $(PYTHON),python3 python3.12 python3.11 python3.13 python3.10 python)," \
	  "and python3 is $$(python3 --version 2>&1 || true)." >&2; \
	echo "Install one of them and name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; \
	exit 1
