# `make` alone prints what there is. Every target prepares .venv by itself, from a bare clone:
# it takes the `python3` it finds, or the one you name (make test PYTHON=python3.13).

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test check format crash desktop hostile soak sweep bench bench-growth clean

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo '  Options go in ARGS: make test ARGS="tests/unit -x"'

demo: $(VENV)/.core  ## real jobs, real kills, every result checked (under 90 s)
	$(BIN)/litequeue demo $(ARGS)

test: $(VENV)/.test  ## all tests but the slow ones (those: ARGS="-m slow")
	$(if $(QUICK),TMPDIR=$(QUICK)) $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not desktop" $(ARGS)

check: $(VENV)/.lint  ## style, types, and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m tests.typing
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.lint  ## put the style right where a tool can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

crash: $(VENV)/.test  ## the long campaign: kill -9 everything, lose nothing
	$(BIN)/python -m tests.crash.campaign $(ARGS)
	$(BIN)/python -m tests.crash.beats
	$(BIN)/python -m tests.crash.chords

soak: $(VENV)/.test  ## a million jobs in one worker: nothing lost, nothing grows (15 minutes)
	$(BIN)/python -m tests.crash.soak $(ARGS)

hostile: $(VENV)/.test  ## hostile rows and arguments, the whole lot of them
	HOSTILE_ARGUMENTS=10000 $(BIN)/python -m pytest tests/hostile $(ARGS)

sweep: $(VENV)/.test  ## every change of clocks in ten years, against a walk over each minute
	$(BIN)/python -m tests.differential.crontab_sweep $(ARGS)

desktop: $(VENV)/.desktop  ## windows on a screen that nobody sees, and frozen by PyInstaller
	@$(BIN)/python -m tests.desktop.missing || { $(INSTALL_SCREEN); } || { echo "$(NO_SCREEN)" >&2; exit 1; }
	$(BIN)/python -m pytest tests/desktop $(ARGS)

bench: $(VENV)/.bench  ## speed beside the disk's limit, huey, and Celery on Redis
	@command -v redis-server >/dev/null || { $(INSTALL_REDIS); } || { echo "$(NO_REDIS)" >&2; exit 1; }
	$(BIN)/python -m benchmarks $(ARGS)

bench-growth: $(VENV)/.core  ## a file of millions of jobs beside a small one (3 GB of disk)
	$(BIN)/python -m benchmarks.growth $(ARGS)

clean:  ## remove .venv and whatever the other targets left behind
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- how .venv gets what a target needs: one stamp per set, out of date when pyproject.toml is newer

# --group came with pip 25.1, and a new .venv may start with an older one.
$(VENV)/.core: pyproject.toml
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { $(CHECK_PYTHON) && $(PYTHON) -m venv $(VENV); }
	$(PIP) install "pip>=25.1"
	$(PIP) install --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.core
	$(PIP) install --group test
	@touch $@

$(VENV)/.desktop: $(VENV)/.test
	$(PIP) install --group desktop
	@touch $@

$(VENV)/.lint: $(VENV)/.core
	$(PIP) install --group lint
	@touch $@

$(VENV)/.bench: $(VENV)/.core
	$(PIP) install --group bench
	@touch $@

CHECK_PYTHON = { $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "litequeue needs Python 3.11 or newer; name one: make PYTHON=python3.12" >&2; exit 1; }; }

# Tests kill processes, never the machine, so no file of theirs has to reach a disk: in memory, where
# there are 4 GB of room, nobody waits for one. Not so where you name a TMPDIR.
QUICK = $(if $(TMPDIR),,$(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 4000000 { print $$6 }'))

APT_INSTALL = command -v apt-get >/dev/null && \
	{ [ "$$(id -u)" = 0 ] && as_root= || as_root=sudo; } && \
	{ $$as_root apt-get install -y -q $(1) || \
	{ $$as_root apt-get update -q && $$as_root apt-get install -y -q $(1); }; }

INSTALL_REDIS = echo "installing redis-server, for Celery's side of the comparison" && \
	$(call APT_INSTALL,redis-server)
NO_REDIS = the comparison with Celery needs redis-server, and it could not be installed: install it, then run make bench again

# Debian's names: a screen, a font, Tk for a Python of Debian's, and what Qt leaves to the system.
SCREEN = graphviz xvfb fontconfig fonts-dejavu-core python3-tk libegl1 libgl1 libdbus-1-3 libxkbcommon-x11-0 \
	libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 \
	libxcb-shape0 libxcb-xkb1
INSTALL_SCREEN = echo "installing a screen that nobody sees" && $(call APT_INSTALL,$(SCREEN)) && \
	$(BIN)/python -m tests.desktop.missing
NO_SCREEN = the desktop tests need what is named above, and it could not be installed: install it, then run make desktop again
