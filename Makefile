# The two commands of the README, and those of people who change the code.
# Everything lives in .venv, which tools/setup creates and keeps equal to the locks.

.DEFAULT_GOAL := help
.PHONY: help run test soak gate lint types docs lock clean ready ready-dev

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

run: ready ## run the desk on the sample tape and write a report
	@.venv/bin/trifecta run

test: ready-dev ## run every test
	@.venv/bin/python -m pytest -n 2 --dist loadfile

soak: ready-dev ## the long form: every recorded tape, every batch size, kills and faults
	@TRIFECTA_KILLS=10 .venv/bin/python -m pytest -m "slow or not slow" --timeout 3600 tests/test_every_tape.py tests/test_every_batch.py tests/test_kill.py tests/test_kafka_cluster.py tests/test_worker_faults.py

gate: ready-dev ## Great Expectations and the inline gate over every row of every recorded tape
	@.venv/bin/python -m pytest -m slow -n 2 --timeout 3600 --durations 5 tests/test_expectations.py

lint: ready-dev ## check format and lint
	@.venv/bin/python -m ruff format --check .
	@.venv/bin/python -m ruff check .

types: ready-dev ## check types, strictly
	@.venv/bin/python -m mypy

docs: ready-dev ## generate the tables of docs/reference from the schemas
	@.venv/bin/python -m tools.reference

lock: ## resolve the locks anew from pyproject.toml; pins stay unless a lock is deleted first
	@tools/lock

clean: ## remove .venv, caches and builds; runs/ stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .cache build *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

ready:
	@tools/setup core

ready-dev:
	@tools/setup dev
