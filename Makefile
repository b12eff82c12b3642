# Everything runs from .venv, which is made from PyPI wheels: no root, no compiler, no system package.
PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test chaos soak bench check docs clean

help:  ## list these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 10

.venv/run.stamp: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Dragon needs Python 3.11 or later, and $(PYTHON) is %d.%d. Name another, as in: make PYTHON=python3.12 run" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	$(PIP_INSTALL) --editable .
	@touch $@

.venv/test.stamp: .venv/run.stamp
	$(PIP_INSTALL) --editable '.[test]'
	@touch $@

run: .venv/run.stamp  ## set up .venv, then serve on http://127.0.0.1:8080 (ARGS="--servers 2" for more)
	@exec $(BIN)/dragon run $(ARGS)

# The tests start Python some hundred times: what it compiled is kept, whatever the environment says.
test chaos: export PYTHONDONTWRITEBYTECODE =

test: .venv/test.stamp  ## run the whole test suite (ARGS="-k thumb" for a part of it)
	@$(BIN)/pytest --numprocesses 4 --dist worksteal $(ARGS)

chaos: .venv/test.stamp  ## prove the promises under random faults (ARGS=--long for hours of it)
	@$(BIN)/pytest --numprocesses 3 --dist worksteal -m chaos tests/chaos $(ARGS)

soak: .venv/test.stamp  ## mixed load and faults for 20 minutes: is memory flat? (ARGS="--minutes 3")
	@$(BIN)/python -m tests.chaos.soak $(ARGS)

bench: .venv/test.stamp  ## measure speed and memory beside bare handlers
	@$(BIN)/python -m tests.bench $(ARGS)

check: .venv/test.stamp  ## lint, check types, and see that imports go one way
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/pytest tests/test_layers.py

docs: .venv/test.stamp  ## build the documentation into docs/_build
	@$(BIN)/sphinx-build --fail-on-warning --quiet docs docs/_build && echo docs/_build/index.html

clean:  ## remove what the other targets made, except data
	rm -rf .venv docs/_build *.egg-info
