.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint format bench docs clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs
BROWSER_STAMP := $(VENV)/.browser
# A process for each core; each has torch in memory, so no more than eight.
WORKERS := --numprocesses auto --maxprocesses 8

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	touch $(DOCS_STAMP)

$(BROWSER_STAMP): $(STAMP)
	sh tests/explorer/browser.sh
	touch $(BROWSER_STAMP)

demo: $(STAMP)  ## fit and measure VAEs and mixtures on digits; writes runs/demo/report.html
	$(BIN)/pyro-vae demo --overwrite

test: $(STAMP) $(BROWSER_STAMP)  ## the tests, without the slow ones
	$(BIN)/python -m pytest $(WORKERS) -m "not slow"

test-slow: $(STAMP) $(BROWSER_STAMP)  ## every test
	$(BIN)/python -m pytest $(WORKERS)

lint: $(STAMP)  ## ruff, format check, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## put the code in its canonical form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## speed, as ratios within one run
	$(BIN)/python -m benchmarks

docs: $(DOCS_STAMP)  ## the site, its tutorials run, in build/docs
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

clean:  ## remove the environment and the caches
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache
