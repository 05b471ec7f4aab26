# make sweep: from a fresh checkout to a results table.  make test: all tests; make test-quick: those without services.
# make cluster: a shell with a real Slurm of 24 fake GPUs, which ends with the shell (root, Debian's slurm packages).
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
CLUSTER ?= /tmp/scoft-cluster

.PHONY: sweep test test-quick check install wheel cluster cluster-down clean

sweep: install
	$(BIN)/python -m scoft_hpc.sweep culture=all ablation=loss_terms

# Two at a time: half of the tests wait for Slurm, and several Slurms run side by side. In the order of tests/conftest.py:
# by itself pytest-xdist would keep the files with a single test, which are the longest ones, for the end.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# Installs what the tests need and this machine lacks, where it may; groups that cannot run are named at the end.
# REQUIRE_ALL=1: they are an error.
test: install
	tools/install_test_services.sh
	$(PYTEST)

# Without services, at most two minutes on two cores.
test-quick: install
	$(PYTEST) -m "not (slurm or browser or postgres or strace or slow)"

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(INSTALLED)

# torch comes first and pinned: a later package must not pull another build of it.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "scoft-hpc needs Python 3.11 or newer: make PYTHON=python3.12 sweep")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)

wheel: install
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

# A second `make cluster` opens another shell on the same Slurm; cluster-down ends one whose shell is lost.
cluster:
	@$(PYTHON) tests/slurm/machine.py shell $(CLUSTER)

cluster-down:
	$(PYTHON) tests/slurm/machine.py down $(CLUSTER)

clean:
	rm -rf .venv dist
