# make sweep: from a fresh checkout to a results table.  make test: everything that passes without a GPU.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: sweep test check install wheel clean

sweep: install
	$(BIN)/python -m scoft_hpc.sweep culture=all ablation=loss_terms

test: install
	$(BIN)/python -m pytest

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

clean:
	rm -rf .venv dist
