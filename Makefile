PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := tests/pipeline tests/runtime tests/export tests/generators tests/faults

.PHONY: demo test test-runs test-rest check install clean

# Install, run the default benchmark and the controls on procedural mammograms, build the page.
demo: install
	$(BIN)/python -m bench
	$(BIN)/python -m bench -m generator=holdout,test_part,copy,noise,pca
	$(BIN)/python -m leaderboard build
	@echo "Open $(CURDIR)/site/index.html"

# In two halves at a time; the tests of RUNS start whole runs, and take as long as all others.
test: install
	$(MAKE) -j 2 test-runs test-rest

test-runs:
	$(BIN)/python -m pytest -p no:cacheprovider $(RUNS)

test-rest:
	$(BIN)/python -m pytest -p no:cacheprovider $(addprefix --ignore=,$(RUNS))

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
