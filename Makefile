# Every target sets itself up: a fresh clone, Python 3.11 or newer, make and a package index are all it takes.
# Another interpreter:  make test PYTHON=python3.12     More for pytest:  make test PYTEST_ARGS='-k wav -x'

VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check --no-input
# The suite starts the program a thousand times: to compile it each time would cost minutes.
unexport PYTHONDONTWRITEBYTECODE
CANDIDATES := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
# Below this share of branches the suite counts as failed.
COVERAGE_MIN := 90
# One more than there are cores: many tests wait for a program more than they compute.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1) + 1)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test coverage bench burst crowd kept rows torture lint generate lock venv clean

help:  ## what there is to type
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.project  ## the whole thing on this machine in 20 seconds, against a stand-in service
	@$(VENV)/bin/speechsense-watch demo

test: $(VENV)/.project  ## the test suite
	@$(RUN) -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS) $(if $(COVERAGE),--cov --cov-report=term --cov-fail-under=$(COVERAGE_MIN))

coverage: COVERAGE := yes
coverage: test  ## the test suite, and every branch of daemon/ that it does not take

# Parts alone, a quick look:  make bench BENCH='--parts throughput,latency --rounds 5'   make bench BENCH=--quick
bench: $(VENV)/.project  ## how fast, small and quiet it is, beside what it could be; figures in bench.json (45 minutes)
	@PYTHONPATH=tests $(RUN) -m measure.bench --json bench.json $(BENCH)

burst: $(VENV)/.project  ## 50,000 pairs dropped at once, written and renamed: time, memory, what the events missed (3 minutes)
	@for how in write rename; do PYTHONPATH=tests $(RUN) tests/measure/burst.py 50000 $$how || exit 1; done

crowd: $(VENV)/.project  ## a million old recordings in one directory: time to take a new one, time of a scan, memory (5 minutes)
	@PYTHONPATH=tests $(RUN) tests/measure/crowd.py

kept: $(VENV)/.project  ## a million uploaded recordings left in place, in 1,000 directories and 100,000 in one: time of a scan (8 minutes)
	@for how in "1000000 1000" "100000 1"; do PYTHONPATH=tests $(RUN) tests/measure/kept.py $$how || exit 1; done

rows: $(VENV)/.project  ## 5,000,000 finished rows, then 1,000,000 ready: each question and command beside an empty queue (15 minutes)
	@for how in "--rows 5000000" "--rows 20000 --ready 1000000"; do PYTHONPATH=tests $(RUN) tests/measure/scale_rows.py $$how || exit 1; done

# More kills, another storm, one part alone:  make torture TORTURE='--kills 3000 --recordings 6000 --seed 7 --parts storm'
torture: $(VENV)/.project  ## 300,000 simulated recordings, then the real program killed over 1,000 times and lied to (25 minutes)
	@PYTHONPATH=tests $(RUN) tests/model/simulate.py --recordings 300000
	@PYTHONPATH=tests $(RUN) -m torture --json torture.json $(TORTURE)

lint: $(VENV)/.project  ## ruff, mypy --strict, and whether the stubs are those of proto/
	@echo "==> ruff" && $(RUN) -m ruff check && $(RUN) -m ruff format --check
	@echo "==> mypy" && $(RUN) -m mypy
	@echo "==> stubs" && $(RUN) proto/generate.py --check

generate: $(VENV)/.project  ## the stubs in generated/, made anew from proto/
	@$(RUN) proto/generate.py

# Without UPGRADE the versions that still fit are kept. The file for development holds all, the others are cut from it.
lock: COMPILE = $(RUN) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-strip-extras --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade)
lock: $(VENV)/.requirements  ## the pinned requirement files, made anew (UPGRADE=1: with the newest releases)
	@$(COMPILE) pyproject.toml --group dev --output-file requirements-dev.txt
	@$(COMPILE) pyproject.toml --constraint requirements-dev.txt --output-file requirements.txt
	@$(COMPILE) --group build --constraint requirements-dev.txt --output-file requirements-build.txt

venv: $(VENV)/.project  ## only the environment in .venv

clean:  ## everything away that make has made, .venv too
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis daemon/*.egg-info
	find daemon generated proto tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment is made anew when it was made in another place or, with PYTHON= given, by another interpreter:
# scripts and links inside it hold absolute paths.
IDENTITY := import sys; print(sys.version, sys.base_prefix)
ifneq ($(shell cat $(VENV)/.python 2>/dev/null),$(CURDIR))
.PHONY: $(VENV)/.python
else ifeq ($(wildcard $(RUN)),)
.PHONY: $(VENV)/.python
else ifneq ($(PYTHON),)
ifneq ($(shell $(PYTHON) -c '$(IDENTITY)' 2>/dev/null),$(shell $(RUN) -c '$(IDENTITY)' 2>/dev/null))
.PHONY: $(VENV)/.python
endif
endif

$(VENV)/.python:
	@for python in $(CANDIDATES); do \
	  if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "==> $(VENV): $$("$$python" --version) ($$python)"; \
	    "$$python" -m venv --clear $(VENV) && printf '%s\n' '$(CURDIR)' >$@ && exit 0; \
	    exit 1; \
	  fi; \
	done; \
	echo "No Python 3.11 or newer with its venv module among: $(CANDIDATES)." >&2; \
	echo "Install one (Debian, Ubuntu: apt install python3 python3-venv) or name it: make test PYTHON=/path/to/python3.12" >&2; \
	exit 1

$(VENV)/.requirements: requirements-dev.txt $(VENV)/.python
	@echo "==> $(VENV): the pinned packages (about a minute the first time)"
	@$(PIP) install -qq --require-hashes -r requirements-dev.txt
	@touch $@

# The editable install maps the packages that exist when it is made: a new .proto may bring a new one.
$(VENV)/.project: pyproject.toml $(shell find proto -name '*.proto') $(VENV)/.requirements
	@echo "==> $(VENV): speechsense-watch itself"
	@$(PIP) install -qq --no-deps --no-build-isolation --editable .
	@touch $@
