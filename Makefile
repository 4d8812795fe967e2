# make figures [STUDY=smoke|config|robodesk_laptop|paper]   make test   make lint   make clean
# make figures EXPORT=FILE draws what `python -m sensei export` packed: nothing is trained, asked or paid.
# The first two make .venv from requirements.lock when it is missing or the lock changed.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: figures test lint clean

STUDY ?= config
CORES ?= all
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed.stamp

ifdef EXPORT
figures: $(STAMP) # no trigger but dates: what was kept of another study of that name says nothing of this one
	study=$$($(BIN)/python -m sensei unpack $(EXPORT)) && $(BIN)/python -m sensei make $$study --cores $(CORES) --rerun-triggers mtime
else
figures: $(STAMP)
	@$(BIN)/python -m sensei make config/$(STUDY).yaml --cores $(CORES)
endif

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder --durations=10

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

clean:
	rm -rf $(VENV) .snakemake .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "found Python %d.%d, expected 3.11 or later: make PYTHON=python3.11" % sys.version_info[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
