.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint format bench peers docs matrix dist check-wheel check-sdist audit \
  clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs
RELEASE_STAMP := $(VENV)/.installed-release
PEERS := .venv-peers
PEERS_STAMP := $(PEERS)/.installed
BROWSER_STAMP := $(VENV)/.browser
# A process for each core; each has torch in memory, so no more than eight.
WORKERS := --numprocesses auto --maxprocesses 8

# Of 10. The rest is an address on the web and one for mail, which the project does not have yet.
PYROMA := 8
# Of every kind of file that the sdist holds: tests, docs, examples.
SDIST_TESTS := -m "not slow" tests/release tests/test_docs.py tests/test_architecture.py tests/plots

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

# An environment of its own: scvi-tools alone brings sixty libraries, and takes long to import.
$(PEERS_STAMP): pyproject.toml constraints.txt constraints-peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --constraint constraints.txt \
	  --constraint constraints-peers.txt --editable '.[dev,peers]'
	touch $(PEERS_STAMP)

$(RELEASE_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,release]'
	touch $(RELEASE_STAMP)

$(BROWSER_STAMP): $(STAMP)
	sh tests/lecture/browser.sh
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

peers: $(PEERS_STAMP)  ## the adapters to other libraries, and their page, beside those libraries
	$(PEERS)/bin/python -m pytest tests/peers tests/test_examples.py -k "peers"

docs: $(DOCS_STAMP)  ## the site, its tutorials run, in build/docs
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

matrix: $(RELEASE_STAMP)  ## the tests on every Python that is found, oldest and newest dependencies
	$(BIN)/nox

dist: $(RELEASE_STAMP)  ## sdist and wheel, built and checked, in dist
	rm -rf dist
	$(BIN)/python -m build --quiet
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl
	$(BIN)/pyroma --min $(PYROMA) dist/*.tar.gz

check-wheel: dist  ## the wheel in an empty environment, without the repository
	$(BIN)/python -m tests.release.fresh dist/*.whl

check-sdist: dist  ## the tests that come with the sdist, run from it
	rm -rf build/sdist
	mkdir -p build/sdist
	tar -xzf dist/*.tar.gz -C build/sdist --strip-components 1
	cd build/sdist && ../../$(BIN)/python -m pytest -p no:cacheprovider $(SDIST_TESTS)

audit: $(RELEASE_STAMP)  ## known weaknesses of the versions in constraints.txt
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict || { \
	  echo "audit: pip-audit asks pypi.org itself. Where the lines above have no table of weaknesses," \
	    "it was not reached, as behind a mirror, and nothing was audited." >&2; exit 1; }

clean:  ## remove the environment and the caches
	rm -rf $(VENV) $(PEERS) build dist .nox .mypy_cache .pytest_cache .ruff_cache
