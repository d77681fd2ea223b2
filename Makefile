# Two commands do everything: `make serve` and `make test`. Both make the environment they need first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev

.PHONY: help serve test style types behaviour explore chaos demo bench check lock clean

help:
	@echo "make serve   set up, migrate, and serve on http://127.0.0.1:8787"
	@echo "make demo    play one conversation from end to end"
	@echo "make test    set up and run every check and test"
	@echo "make chaos   kill processes under load and check the books (docs/billing.md)"
	@echo "make explore run the property tests with inputs that nobody has tried yet"
	@echo "make bench   measure the gateway (docs/benchmarks.md)"
	@echo "make check   formatting, linting, types, import directions"
	@echo "make clean   remove the environment and caches (not the data in .heddle)"
	@echo "make lock    resolve the dependencies anew"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Heddle needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(DEV): requirements-dev.lock $(RUNTIME)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@touch $@

# Development defaults: tools and MCP servers on this machine may be called.
serve: $(RUNTIME)
	@HEDDLE_ALLOW_PRIVATE_TARGETS="$${HEDDLE_ALLOW_PRIVATE_TARGETS-loopback}" exec $(BIN)/heddle serve

demo: $(RUNTIME)
	@exec $(BIN)/heddle demo

check: style types

style: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(DEV)
	$(BIN)/mypy

# The fast part first. Types are checked beside the tests: that has one processor busy for a minute.
test: style
	$(BIN)/python -m tests.chromium
	@$(MAKE) --no-print-directory --jobs=2 types behaviour

# Compiled modules are kept whatever the environment says: the tests start many processes.
behaviour: $(DEV)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest

explore: $(DEV)
	EXPLORE=1 $(BIN)/python -m pytest -m hypothesis

chaos: $(DEV)
	$(BIN)/python -m tests.chaos --database sqlite
	$(BIN)/python -m tests.chaos --database postgresql

bench: $(DEV)
	$(BIN)/python -m bench.gateway
	$(BIN)/python -m bench.memory
	$(BIN)/python -m bench.admission
	$(BIN)/python -m bench.usage
	$(BIN)/python -m bench.turns
	$(BIN)/python -m bench.event_log
	$(BIN)/python -m bench.context
	$(BIN)/python -m bench.vault
	$(BIN)/python -m bench.token_lease
	$(BIN)/python -m bench.webhook_dispatch
	$(BIN)/python -m bench.mcp_dispatch
	$(BIN)/python -m bench.tool_schemas

lock: $(BIN)/python
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --upgrade pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --upgrade --extra dev -c requirements.lock \
		pyproject.toml -o requirements-dev.lock

clean:
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
