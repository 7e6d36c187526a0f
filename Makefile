# The commands of this project. `make` alone lists them.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SECOND := .venv-wheel
# A folder to publish with `make demo DATA=path`; empty: the software inventory of this environment.
DATA ?=
# More arguments for pytest: make test PYTEST="-x tests/node".
PYTEST ?=
# Of these the first that was built with optimisations (a distribution's own is; what a version manager compiled
# often is not, and the same lines take a quarter longer there), else the first that is new enough and can make
# environments; override with `make PYTHON=...`.
PYTHONS := python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11
SUITABLE := import sys, sysconfig, venv, ensurepip; assert sys.version_info >= (3, 11)
OPTIMISED := $(SUITABLE); assert sys.base_prefix == "/usr" or "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS"))
PYTHON ?= $(shell for wanted in '$(OPTIMISED)' '$(SUITABLE)'; do for python in $(PYTHONS); do \
	$$python -c "$$wanted" 2>/dev/null && echo $$python && exit; done; done)
SOURCES := consensus p2p node bench tests
# The tests start hundreds of interpreters: each would compile all of this anew where the environment forbids
# to keep what was compiled.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install browser nftables promtool demo demo-federation test check lock wheel clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv with everything at the locked versions

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Isthmus needs Python 3.11 or newer with its venv module (on Debian: apt-get install python3 python3-venv)." >&2; exit 1; }
	@$(PYTHON) -c '$(SUITABLE)' 2>/dev/null || { echo "$(PYTHON) is older than Python 3.11 or lacks the venv module; give another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked packages into $(VENV), with $$($(BIN)/python -c 'import platform, sys; print("Python", platform.python_version(), "of", sys.base_prefix)') ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

browser: ## give the explorer's tests their Chromium (Debian, as root); without it they are skipped
	@if command -v chromedriver >/dev/null && { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null; then \
	echo "Chromium and its driver are here."; \
	elif ! command -v apt-get >/dev/null || test "$$(id -u)" != 0; then \
	echo "No Chromium with its driver here, and only root on Debian can install them: the explorer's browser tests will be skipped."; \
	else \
	echo "Installing Chromium and its driver ..."; \
	{ timeout 60 apt-get update -qq && DEBIAN_FRONTEND=noninteractive timeout 180 apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null; } \
	|| echo "They could not be installed: the explorer's browser tests will be skipped."; \
	fi

nftables: ## give the tests of lost packets their tools (Debian, as root); without them they are skipped
	@if command -v nft >/dev/null && command -v ip >/dev/null && command -v nsenter >/dev/null; then \
	echo "nftables, iproute2 and util-linux are here."; \
	elif ! command -v apt-get >/dev/null || test "$$(id -u)" != 0; then \
	echo "No nft, ip or nsenter here, and only root on Debian can install them: the tests of lost packets will be skipped."; \
	else \
	echo "Installing nftables, iproute2 and util-linux ..."; \
	{ timeout 60 apt-get update -qq && DEBIAN_FRONTEND=noninteractive timeout 120 apt-get install -y -qq --no-install-recommends nftables iproute2 util-linux >/dev/null; } \
	|| echo "They could not be installed: the tests of lost packets will be skipped."; \
	fi

promtool: $(STAMP) ## give the tests of the alert rules Prometheus' own checker (Debian); without it they are skipped
	@if test -x $(BIN)/promtool || command -v promtool >/dev/null; then \
	echo "promtool is here."; \
	elif ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then \
	echo "No promtool here, and it is taken from a package of Debian's: its tests will be skipped."; \
	else \
	echo "Taking promtool from Debian's package of Prometheus, which is not installed ..."; \
	place=$$(mktemp -d); \
	test "$$(id -u)" != 0 || timeout 60 apt-get update -qq; \
	{ (cd "$$place" && timeout 120 apt-get -o APT::Sandbox::User= -qq download prometheus >/dev/null && dpkg-deb -x prometheus_*.deb .) \
	&& install "$$place/usr/bin/promtool" $(BIN)/promtool; } \
	|| echo "It could not be fetched: its tests will be skipped."; \
	rm -rf "$$place"; \
	fi

demo: $(STAMP) ## start four validators, publish real data, verify it: make demo [DATA=folder]
	@$(BIN)/python -m node.cli.main demo $(if $(DATA),--data "$(DATA)")

demo-federation: $(STAMP) ## start three clusters that admit each other, pass a record between them, verify it
	@$(BIN)/python -m node.cli.main federation demo

test: $(STAMP) ## run every test, in up to four processes: one more than cores, because clusters often wait
	@$(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder \
	-n "$$($(BIN)/python -c 'import os; print(min(4, 1 + (os.cpu_count() or 1)))')" $(PYTEST)

check: $(STAMP) ## lint, format, types, layers, house rules
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q tests/test_tidy.py

lock: ## resolve the newest allowed versions into requirements.lock (needs uv)
	@uv=$$(command -v $(BIN)/uv || command -v uv) || { echo "make lock needs uv: $(BIN)/python -m pip install uv" >&2; exit 1; }; \
	$$uv pip compile --quiet --upgrade --generate-hashes --universal --no-emit-index-url --no-emit-find-links \
	--no-header pyproject.toml --group dev -o requirements.lock

wheel: $(STAMP) ## build the wheel into dist/
	@rm -rf dist && $(BIN)/hatchling build -t wheel

clean: ## remove everything these commands made
	rm -rf $(VENV) $(SECOND) .isthmus dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	.import_linter_cache
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
