# Two commands do everything: make demo, make test. Each sets up .venv on its first call.
PYTHON ?= python3
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEER := $(VENV)/momentfm

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench pretrain parity docs clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(READY)  ## set up, train on real and simulated data, print tables, write pictures to demo/
	$(BIN)/python examples/quickstart.py

test: $(READY)  ## set up and run the tests
	$(BIN)/python -m pytest -q

lint: $(READY)  ## ruff (rules and format) and mypy (nn, engine, persistence)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## let ruff rewrite the files
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## the benchmarks in their quick form; tables go to docs/
	$(BIN)/python benchmarks/bench_engine.py --quick
	$(BIN)/python benchmarks/bench_scan.py --quick
	$(BIN)/python benchmarks/bench_variates.py
	$(BIN)/python benchmarks/bench_fmamba.py --quick
	$(BIN)/python benchmarks/bench_attribution.py --quick
	$(BIN)/python benchmarks/bench_export.py --quick
	$(BIN)/python benchmarks/bench_jointebm.py --quick
	$(BIN)/python benchmarks/bench_flowmap.py --quick
	$(BIN)/python benchmarks/bench_moment.py --quick
	$(BIN)/python benchmarks/bench_moment_readability.py --quick
	$(BIN)/python benchmarks/bench_fractal.py --quick
	$(BIN)/python benchmarks/bench_fractal_decoding.py --quick

pretrain: $(READY)  ## train a small encoder on drawn series, and hold it against random weights
	$(BIN)/python benchmarks/pretrain_moment.py

parity: $(PEER)/.ready  ## MomentEmbedder beside momentfm on the same weights, in an environment of its own
	$(PEER)/bin/python benchmarks/parity_moment.py

docs: $(READY)  ## build the pages into docs/_build/html (warnings are errors)
	@test -f $(VENV)/.docs || $(BIN)/python -m pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e ".[docs]"
	@touch $(VENV)/.docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

clean:  ## remove the environment and what the commands wrote
	rm -rf $(VENV) demo docs/_build docs/_api docs/gallery

# An interrupted install leaves no stamp, so the next call starts it anew.
$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e ".[plot,data,explore,fast,test,lint]"
	@touch $(READY)

# momentfm's pins exclude a current numpy; without its dependencies it runs beside one.
$(PEER)/.ready: pyproject.toml constraints.txt
	@test -x $(PEER)/bin/python || $(PYTHON) -m venv $(PEER)
	$(PEER)/bin/python -m pip install -q --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e . transformers huggingface_hub
	$(PEER)/bin/python -m pip install -q --disable-pip-version-check $(PIP_ARGS) --no-deps momentfm==0.1.4
	@touch $(PEER)/.ready
