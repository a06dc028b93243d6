# The commands of the README. STACK (default, classic, forks), VENV and PYTHON can be set:
# make demo PYTHON=/usr/bin/python3.11
STACK ?= default
VENV ?= .venv$(patsubst %,-%,$(filter-out default,$(STACK)))
PYTHON ?= python3
DOCS ?= $(VENV)-docs
SEED ?= 0
SPACE = $(subst ,, )
OTHER = $(if $(filter-out 0,$(SEED)),-seed$(subst $(SPACE),-,$(strip $(SEED))))
RUN = $(VENV)/bin/python

# Worksteal: a process that has none left takes tests of another's.
TESTS = $(RUN) -m pytest -n $(shell nproc) --dist worksteal

.PHONY: help install demo demo-full demo-task docs test test-slow test-all test-gpu coverage wheel lint \
  types

help:
	@echo "make install    the pinned stack in $(VENV) (compiles mmcv once, about 10 minutes);"
	@echo "                STACK=classic: torch 2.1, STACK=forks: the onedl packages, for all commands"
	@echo "make demo       train, search and transfer a small supernet on handwritten digits (SEED=$(SEED))"
	@echo "make demo-full  the same with a supernet of more steps, three seeds, the transfer from random weights too"
	@echo "make demo-task  search supernets in a detector and a segmentor by their own metrics (SEED=$(SEED))"
	@echo "make docs       the documentation, into site/"
	@echo "make test       the tests but the slow ones"
	@echo "make test-slow  the slow ones"
	@echo "make test-all   all tests"
	@echo "make test-gpu   those of a GPU, on a machine that has one"
	@echo "make coverage   make test; fails where it runs less than 90 % of lines and branches"
	@echo "make wheel      the wheel, tried in a temporary environment with its own requirements"
	@echo "make lint       ruff"
	@echo "make types      mypy, strict"

install:
	@STACK=$(STACK) bash tools/install.sh $(VENV)

demo: install
	@$(RUN) tools/demo.py --seeds $(SEED) --work-dir work_dirs/demo$(OTHER)

demo-full: install
	@$(RUN) tools/demo.py --full --seeds 0 1 2 --work-dir work_dirs/demo-full

demo-task: install
	@$(RUN) tools/demo_task.py --seed $(SEED) --demo work_dirs/demo$(OTHER) --work-dir work_dirs/demo-task$(OTHER)

# Docstrings are read, not imported: this needs neither the stack nor a compiler.
docs: $(DOCS)/.installed
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet

$(DOCS)/.installed: requirements/docs.txt
	@$(PYTHON) -m venv $(DOCS) && $(DOCS)/bin/pip install --quiet -r $<
	@touch $@

test: install lint
	@$(TESTS) -m "not slow"

test-slow: install
	@$(TESTS) -m slow

test-all: install lint
	@$(TESTS)

# Of these tests alone: they take nine tenths, and what is counted runs slower.
coverage: install lint
	@$(TESTS) -m "not slow" --cov --cov-report=term

# On a machine with a GPU; the other tests hide it.
test-gpu: install
	@PINAS_GPU_TESTS=1 $(RUN) -m pytest -m gpu

# Takes 8 GB more for a while; before a release.
wheel: install
	@STACK=$(STACK) bash tools/check_wheel.sh $(VENV)

lint: install
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .

types: install
	@$(RUN) -m mypy
