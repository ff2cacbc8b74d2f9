# Everything runs in .venv, which is made on first use. On a fresh machine: Python 3.11+, make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
CODE   := recae tests evaluation docs/deploy docs/notebooks
STAMP  := $(VENV)/.installed
JOBS   ?= 2
PYTEST  = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test quick check package site processors pretended oldest newest clean
.DELETE_ON_ERROR:

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(STAMP) ## from the bundled MovieLens to a comparison, a saved model and everybody's top 100
	@$(BIN)/python -m evaluation demo

test: check ## what CI runs: the checks, then the tests, in JOBS processes of one thread each
	@$(PYTEST)

quick: $(STAMP) ## the tests that take a minute, for the inner loop
	@$(PYTEST) -m quick

check: $(STAMP) ## lint, formatting and types
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/mypy

package: $(STAMP) ## wheel and sdist in dist/, and the wheel installed in an environment of its own, where README.md runs
	@$(PYTEST) tests/test_packaging.py -m 'slow or not slow'
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist
	@ls -l dist

site: $(STAMP) ## the documentation as HTML, in build/site; any warning is an error
	@$(PIP) --constraint constraints.txt --editable ".[docs]"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "open build/site/index.html"

processors: $(STAMP) ## the tests under the kernels of other processors, and with two threads: half an hour
	@$(BIN)/python -m evaluation processors --jobs $(JOBS)

pretended: $(STAMP) ## the laws of all models and transformers on a pretended GPU: a quarter of an hour
	@$(PYTEST) --pretend-gpu tests/models tests/transformers/test_laws.py -k "contract or laws"

oldest: constraints-oldest.txt ## the tests with the oldest dependencies that pyproject.toml allows
	@$(call LANE,oldest,--constraint constraints-oldest.txt)

newest: ## the tests with the newest dependencies there are
	@$(call LANE,newest,)

# A virtual environment of its own; torch is the one of constraints.txt, as a lane is not about it.
define LANE
echo "testing with the $(1) dependencies, in $(VENV)-$(1)"
$(PYTHON) -m venv $(VENV)-$(1)
$(VENV)-$(1)/bin/python -m pip install --quiet --disable-pip-version-check $(2) "$$(grep '^torch==' constraints.txt)"
$(VENV)-$(1)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade $(2) "$$(grep '^torch==' constraints.txt)" --editable ".[test]"
OMP_NUM_THREADS=1 $(VENV)-$(1)/bin/python -m pytest -n $(JOBS) --dist worksteal
endef

clean: ## remove .venv, caches and what builds and the demo left
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-newest build dist demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# torch comes first and on its own: a build for this machine that pip's find-links offers is taken
# as it is, before anything else can ask for another one.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("recae needs Python 3.11 or later: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "installing into $(VENV) (once; torch is large, this takes some minutes)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --constraint constraints.txt torch
	@$(PIP) --constraint constraints.txt --editable ".[dev]"
	@touch $@
