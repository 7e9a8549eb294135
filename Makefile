# The two commands that matter are `make run` and `make test`. What they do is written in tools/.
# ARGS goes on to the command: make run ARGS="--port 8001", make test ARGS="-k crash".

.DEFAULT_GOAL := help
.PHONY: help run test check bench dist release lock clean

PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
TOOLS = $(or $(PYTHON),$(error Statecast needs Python 3.11 or newer and found none. Install one, \
	or name it: make run PYTHON=/path/to/python3)) -m tools.bootstrap

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1	/p' Makefile

run: ## the demo: a simulated pillow, live on a page of its own
	@$(TOOLS) run
	@.venv/bin/statecast run --demo $(ARGS)

test: ## everything: style, types and all tests; installs what they need
	@$(TOOLS) test $(ARGS)

check: ## style and types only
	@$(TOOLS) check

bench: ## the benchmarks
	@$(TOOLS) bench
	@.venv/bin/python -m benchmarks $(ARGS)

dist: ## the source archive and the wheel, into dist/, tried on every Python here
	@$(TOOLS) dist
	@.venv/bin/python -m tools.dist $(ARGS)

release: ## the same, and refuses what must not be uploaded (RELEASING.md)
	@$(TOOLS) dist
	@.venv/bin/python -m tools.dist release

lock: ## resolves requirements.txt anew (needs uv)
	uv pip compile pyproject.toml --group build --group test --group bench --group image \
		--group release --group audit --upgrade --universal \
		--generate-hashes --annotation-style split --no-header --no-emit-index-url --no-emit-find-links \
		--output-file requirements.txt --quiet

clean: ## removes what the other targets made; databases stay
	rm -rf .venv .tools build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests tools benchmarks examples -name __pycache__ -prune -exec rm -rf {} +
