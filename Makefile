PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check install clean

# Install, run the default benchmark and the controls on procedural mammograms, build the page.
demo: install
	$(BIN)/python -m bench
	$(BIN)/python -m bench -m generator=holdout,copy,noise,pca
	$(BIN)/python -m leaderboard build
	@echo "Open $(CURDIR)/site/index.html"

test: install
	$(BIN)/python -m pytest

# Style, types and the arrows between packages.
check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(BIN)/.installed

$(BIN)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) runs cache site validity
