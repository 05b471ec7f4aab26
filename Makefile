# make sweep: from a fresh checkout to a results table.  make test: all tests; make test-quick: those without services.
# make cluster: a shell with a real Slurm of 24 fake GPUs, which ends with the shell (root, Debian's slurm packages).
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
CLUSTER ?= /tmp/scoft-cluster
LOWEST := .venv-lowest
WORKERS ?= 4

.PHONY: sweep test test-quick test-lowest lowest check install wheel cluster cluster-down clean

sweep: install
	$(BIN)/python -m scoft_hpc.sweep culture=all ablation=loss_terms

# More workers than cores: the tests on Slurm mostly wait, each worker for a Slurm of its own. In the order of
# tests/conftest.py: by itself pytest-xdist would keep the files with a single test, which are the longest ones, for the end.
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

# Installs what the tests need and this machine lacks, where it may; groups that cannot run are named at the end.
# REQUIRE_ALL=1: they are an error.
test: install
	tools/install_test_services.sh
	$(PYTEST)

# Without services, at most two minutes on two cores.
test-quick: install
	$(PYTEST) -m "not (slurm or browser or postgres or strace or slow)"

# The lowest versions that pyproject.toml declares, in an environment of their own: the tests that use the libraries most,
# adapters loaded by diffusers included, and a toy study. Old versions may use what newer ones of other libraries deprecate.
LOWEST_TESTS := tests/models/test_export.py tests/models/test_load.py tests/models/test_lora.py tests/losses tests/diffusion \
	tests/training/test_passes.py tests/config/test_compose.py tests/config/test_identity.py tests/data/test_cache.py \
	tests/results/test_table.py tests/results/test_tensorboard.py tests/launch/test_plan.py tests/inputs/test_llm_client.py \
	tests/inputs/checkpoints/test_scheduler_config.py tests/inputs/checkpoints/test_weights.py tests/human_eval/core/test_store.py

lowest: $(LOWEST)/installed

test-lowest: lowest
	$(LOWEST)/bin/python -m pytest -W ignore::DeprecationWarning $(LOWEST_TESTS)
	rm -rf $(LOWEST)/outputs
	$(LOWEST)/bin/python -m scoft_hpc.sweep culture=korea ablation=loss_terms train.steps=4 output=$(LOWEST)/outputs > $(LOWEST)/sweep.log
	! grep 'W&B did not take' $(LOWEST)/sweep.log

# torch is not at its lowest: 2.13.0 is the version whose CPU build is installed above too, and other versions are
# downloaded with CUDA, in gigabytes.
$(LOWEST)/installed: pyproject.toml tools/lowest_requirements.py
	rm -rf $(LOWEST)
	$(PYTHON) -m venv $(LOWEST)
	$(PYTHON) tools/lowest_requirements.py pyproject.toml > $(LOWEST)/requirements.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $(LOWEST)/requirements.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(LOWEST)/installed

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
	rm -rf .venv $(LOWEST) dist
