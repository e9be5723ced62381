# Everything sets itself up: a virtual environment in .venv, the package, and the tools of a target.
# `make demo` needs Python >= 3.11, make, and a package index that pip can reach.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.PHONY: help demo examples examples-quick test long lint format derive accuracy bench clean

help:
	@echo "make demo      run the circuit, print its gradient code, train the digits net"
	@echo "make examples  run every example at full size (some minutes); examples-quick: reduced"
	@echo "make test      run the tests        make long    run the slow tests too"
	@echo "make lint      ruff and mypy        make format  let ruff rewrite the files"
	@echo "make derive    derive the op table's derivatives anew, with SymPy"
	@echo "make accuracy  measure every op and partial against mpmath: docs/accuracy.md"
	@echo "make bench     measure, as ratios to hand-written code and to other libraries;"
	@echo "               make bench BENCH=memory runs tests/benchmarks/bench_memory.py alone"
	@echo "make clean     remove the virtual environment and all caches"

demo: $(VENV)/package
	$(BIN)/graphc run examples/circuit.toml
	$(BIN)/graphc show examples/circuit.toml
	$(BIN)/python examples/digits.py

examples: $(VENV)/examples
	set -e; for file in examples/*.toml; do $(BIN)/graphc run $$file; $(BIN)/graphc check $$file; done
	set -e; for file in examples/*.py; do echo "== $$file"; $(BIN)/python $$file; done
	$(BIN)/python examples/digits.py --layers 3

examples-quick: $(VENV)/examples
	set -e; for file in examples/*.toml; do $(BIN)/graphc run $$file; done
	set -e; for file in examples/*.py; do echo "== $$file"; $(BIN)/python $$file --quick; done

test: $(VENV)/test
	$(BIN)/python -m pytest

long: $(VENV)/test
	$(BIN)/python -m pytest -m "long or not long"

lint: $(VENV)/lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/lint
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

derive: $(VENV)/test
	$(BIN)/python -m graphc.derive

accuracy: $(VENV)/test
	$(BIN)/python -m graphc.derive.accuracy

# Each file writes its own section of the results, and may be run again alone: BENCH=memory.
BENCH ?= *
bench: $(VENV)/bench
	kept=0; for file in tests/benchmarks/bench_$(BENCH).py; do $(BIN)/python $$file || kept=1; done; \
	  exit $$kept

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# -- set-up, each once: an empty file says that it is done ------------------------------------------

$(VENV)/ready:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "graphc needs Python 3.11 or newer; say PYTHON=... (this is $$($(PYTHON) -V 2>&1))"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/package: pyproject.toml | $(VENV)/ready
	$(PIP) --editable .
	@touch $@

$(VENV)/examples: pyproject.toml | $(VENV)/ready
	$(PIP) --editable '.[special,plot]'
	@touch $@ $(VENV)/package

$(VENV)/test: pyproject.toml | $(VENV)/ready
	$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/package

$(VENV)/bench: pyproject.toml | $(VENV)/ready
	$(PIP) --editable '.[test,bench]'
	@touch $@ $(VENV)/test $(VENV)/package

$(VENV)/lint: pyproject.toml | $(VENV)/ready
	$(PIP) --editable '.[lint]'
	@touch $@ $(VENV)/package
