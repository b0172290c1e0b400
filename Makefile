# Every target works from a bare clone: it needs make, Python 3.11 or newer, and a pip that can
# reach packages. Set PYTHON to choose the interpreter, WORKERS the number of test processes.

PYTHON  ?= python3
WORKERS ?= 2
BIN     := .venv/bin
READY   := .venv/.ready
LAKE    := build/sample-lake
BENCHES := $(filter-out bench/_%,$(sort $(wildcard bench/*.py)))

.PHONY: help demo lake test check wheel torture bench docs clean
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help:
	@echo "make demo     build the sample lake and trace a decision in it"
	@echo "make lake     build the sample lake in $(LAKE)"
	@echo "make test     run the tests"
	@echo "make check    lint, formats, types, floors, generated files, tests (of the wheel too)"
	@echo "make wheel    build the wheel and the source archive in dist/"
	@echo "make torture  run the long hostile tests"
	@echo "make bench    run every benchmark; one JSON line each"
	@echo "make docs     regenerate schemas and reference pages"
	@echo "make clean    remove what was built (not .venv)"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.x")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,sample]'
	@touch $@

demo: $(READY)
	$(BIN)/forensics demo --lake $(LAKE)

lake: $(READY)
	$(BIN)/forensics demo --lake $(LAKE) --quiet

test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m forensics_schemas.generate --check
	$(BIN)/python docs/build.py --check
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

wheel: $(READY)
	$(BIN)/hatchling build

torture: $(READY)
	$(BIN)/python -m pytest -m torture || test $$? -eq 5  # 5: there are none

bench: $(READY)
	@for script in $(BENCHES); do $(BIN)/python $$script || exit; done

docs: $(READY)
	$(BIN)/python -m forensics_schemas.generate
	$(BIN)/python docs/build.py

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
