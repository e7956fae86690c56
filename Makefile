# make run    set up, then transcribe the examples: the text is all there is on standard output
# make test   set up, then lint, types, import layers and tests
# make setup  the part that both share: .venv with pinned packages, and the frozen weights, verified
# make docs   build the course and the other pages of docs/ into site/
# make fix    let ruff mend what it can

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin

.PHONY: help run test setup lint types layers unit docs fix

help:
	@sed -n 's/^# \(make.*\)/\1/p' Makefile

run: setup
	@$(BIN)/tiny-audio transcribe examples/*.flac

test: lint types layers unit

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

layers: setup
	$(BIN)/lint-imports

# One thread each: processes that share cores with several threads wait for one another.
unit: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

docs: setup
	@[ -x $(BIN)/mkdocs ] || $(BIN)/python -m pip install -qq -c constraints.txt -e '.[docs]' >&2
	$(BIN)/mkdocs build --strict

fix: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Standard output is left to what is asked for, `make run` above all: progress goes to standard error.
setup: .venv/.installed
	@$(BIN)/tiny-audio weights >/dev/null

# --no-compile: most modules of these packages are never imported; the others are compiled then. It halves the time.
.venv/.installed: pyproject.toml constraints.txt
	@python=; for name in python3.11 python3.12 python3.13 python3; do \
	  if "$$name" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    python="$$name"; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo "setup: no Python 3.11 or newer with venv found; install one (Debian: apt-get install python3 python3-venv)" >&2; \
	  exit 1; fi; \
	echo "setup: creating .venv with $$("$$python" --version); packages are about 1 GB, this takes some minutes" >&2; \
	"$$python" -m venv .venv >&2 \
	&& $(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev,synth,serve,plots,onnx]' >&2 \
	&& touch $@
