# The two commands that matter are `make run` and `make test`. What they do is written in tools/.
# ARGS goes on to the command: make run ARGS="--port 8001", make test ARGS="-k crash".

.DEFAULT_GOAL := help
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*## .*/\1/p' Makefile)

PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && \
	echo $$name && break; done)
TOOLS = $(or $(PYTHON),$(error Statecast needs Python 3.11 or newer and found none. Install one, \
	or name it: make run PYTHON=/path/to/python3)) -m tools.bootstrap

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1	/p' Makefile | expand -t 20

run: ## the demo: a simulated pillow, live on a page of its own; Ctrl-C ends it
	@$(TOOLS) run $(ARGS)

huggable: ## examples/huggable_cloud: the site and its pillows, in one command; Ctrl-C ends it
	@$(TOOLS) huggable $(ARGS)

examples: ## the scripts that pages of examples load, from npm: jQuery, Socket.IO's client
	@$(TOOLS) examples

test: ## everything: style, types and all tests
	@$(TOOLS) test $(ARGS)

test-one: ## some tests only: make test-one T=tests/unit/test_names.py
	@$(TOOLS) test-one $(or $(T),$(error Name a test: make test-one T=tests/unit/test_names.py)) \
		$(ARGS)

fuzz-api: ## REST against its OpenAPI document, with many requests, other ones each time
	@$(TOOLS) fuzz-api $(ARGS)

drill: ## hosts, PostgreSQL and 300 viewers while something breaks every 5 s; needs root
	@$(TOOLS) drill $(ARGS)

test-newest: ## the server's tests with the newest versions of its dependencies, e.g. uvicorn
	@$(TOOLS) test-newest $(ARGS)

test-lowest: ## the tests with the lowest versions that pyproject.toml allows
	@$(TOOLS) test-lowest $(ARGS)

test-container: ## the Containerfile's steps and its server, on a bare Debian; needs root
	@$(TOOLS) test-container

# make has an AS of its own, the assembler.
test-bare: ## run and test on a Debian with nothing installed: AS=root|user, SUITE=sid, SHORT=1
	@$(TOOLS) test-bare $(if $(filter-out default,$(origin AS)),$(AS:%=--as %)) $(if $(SUITE),--suite $(SUITE)) \
		$(if $(SHORT),--short) -- $(ARGS)

check: ## style and types only
	@$(TOOLS) check

format: ## formats the code and sorts its imports
	@$(TOOLS) format

coverage: ## all tests, and which lines they do not run
	@$(TOOLS) coverage $(ARGS)

bench: ## the benchmarks
	@$(TOOLS) bench $(ARGS)

dist: ## the source archive and the wheel, into dist/, tried on every Python here
	@$(TOOLS) dist $(ARGS)

release: ## the same, and refuses what must not be uploaded (RELEASING.md)
	@$(TOOLS) dist release

audit: ## known vulnerabilities of everything in the lock; asks a public service
	@$(TOOLS) audit

sbom: ## the bill of materials of a release (CycloneDX), into dist/
	@$(TOOLS) sbom

platforms: ## whether each locked package has a wheel for each system and Python
	@$(TOOLS) platforms

lock: ## the newest versions that pyproject.toml allows, into requirements/
	@$(TOOLS) lock

system-deps: ## the programs that tests need of the system, such as Chromium; on Debian, as root
	@$(TOOLS) system-deps

clean: ## removes what the other targets made; databases stay
	rm -rf .venv .tools build dist examples/clock/static/vendor .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find src tests tools benchmarks examples -name __pycache__ -prune -exec rm -rf {} +
