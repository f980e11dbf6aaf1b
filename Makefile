# Two commands on a fresh machine with Python (3.10 or newer) and make: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q -c constraints.txt
export HF_HUB_OFFLINE ?= 1

RECIPES := job_titles_small job_titles_best turkish_matryoshka_small gistembed_small

.PHONY: demo test check docs bench recipes clean help

help:            ## list the commands
	@grep -E '^[a-z]+: .*##' Makefile | sed 's/:.*## */\t/'

demo: .venv/.demo      ## fine-tune MiniLM on job titles, before and after, then search
	$(BIN)/tutelage demo --overwrite

test: .venv/.dev       ## the default tests: under 10 minutes on 2 cores (with chromium installed, in a browser too)
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

check: .venv/.dev      ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: .venv/.dev       ## write the references, docs/benchmarks.md and the README tables anew
	$(BIN)/python docs/generate.py

recipes: .venv/.dev    ## the three published systems at MiniLM's size (an hour), then the README's table
	@set -e; for name in $(RECIPES); do $(BIN)/tutelage train $$name --overwrite; done
	$(BIN)/python docs/generate.py $(RECIPES:%=runs/%/report.json)

bench: .venv/.dev      ## every benchmark (about an hour) into benchmarks/results/, then the tables
	@set -e; for file in benchmarks/*.py; do $(BIN)/python $$file; done
	$(BIN)/python docs/generate.py

clean:           ## remove the environment and the caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.demo: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -e ".[demo,onnx,serve]"
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -e ".[demo,dev,faiss,onnx,qdrant,serve]"
	@touch $@ .venv/.demo
