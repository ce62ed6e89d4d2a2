# make install | demo | test | test-process | lint | docs. Python 3.10 to 3.13 and make are all that is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test test-process lint docs clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@echo 'Installing into $(VENV): about 5 GB and some minutes'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/python -m tsrnet.train

test: install lint
	$(BIN)/python -m pytest

# What starts processes of its own: kills, launchers, DDP, notebooks, the wheel, a browser.
test-process: install
	$(BIN)/python -m pytest -m process

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks/*.py
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml src

docs: install
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
