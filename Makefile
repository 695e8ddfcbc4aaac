# Everything runs from a virtual environment in .venv, made on first use and then left alone.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# The newest one that was tried, and the last one with an mcp-server.
CODEX_VERSIONS := 0.163.0 0.153.4
CODEX := $(CODEX_VERSIONS:%=.codex/%/codex_cli_bin/bin/codex)
# Given to netsky by `make run` and `make demo`: make run ARGS=--no-tui
ARGS ?=

# The rooms whose tests start no Codex, no terminal and no picture.
FAST := wire db codex agents comms control tools_door cli
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help run demo test test-fast lint format codex screenshots bench clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(INSTALLED) ## The control room on real Codex, installed here when this machine has none.
	@command -v codex >/dev/null || test -n "$$NETSKY_CODEX_BIN" \
		|| $(BIN)/python -c 'import codex_cli_bin' 2>/dev/null \
		|| { echo "No codex on PATH: installing the package (about 370 MB unpacked)." >&2; \
			$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[codex]'; }
	$(BIN)/netsky $(ARGS)

demo: $(INSTALLED) ## The control room on scripted threads: no account, no network.
	$(BIN)/netsky demo $(ARGS)

test: lint ## Everything, with the real Codex binary against a scripted model on loopback.
	@$(MAKE) codex || { test -z "$$CI" && echo "Tests on real Codex will be skipped." >&2; }
	$(PYTEST) -m 'not bench' -n 2 --dist worksteal

test-fast: $(INSTALLED) ## The rooms one by one, in less than a minute.
	$(PYTEST) -m 'not bench and not e2e and not real_codex' -n 2 $(addprefix tests/,$(FAST))

lint: $(INSTALLED) ## Style, types, and which package may import which.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## Mend what can be mended by a machine.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

codex: $(CODEX) ## The Codex binaries that the tests use, into an ignored folder.

screenshots: $(INSTALLED) ## Pictures of the real room, for the README.
	$(BIN)/python -m screenshots.make

bench: $(INSTALLED) ## Speed, each figure beside its floor.
	$(PYTEST) -m bench -s tests/bench

clean: ## Back to a fresh clone; homes of netsky are not touched.
	rm -rf .venv .codex build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache snapshot_report.html
	find netsky_runtime netsky_tui tests screenshots -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "netsky needs Python 3.11 or newer; name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
		echo "This Python cannot make virtual environments: install python3-venv." >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

# Each version has a folder of its own; one that is there, be it a link, is left alone.
.codex/%/codex_cli_bin/bin/codex: | $(INSTALLED)
	$(BIN)/pip install --quiet --no-deps --target .codex/$* openai-codex-cli-bin==$*
