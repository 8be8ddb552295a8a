# NetPulse UpGuardX. `make` alone lists what can be made.
#
# Needed: make and Python 3.11 to 3.14. PYTHON=... names another interpreter than the
# one found. Everything is installed into .venv, pinned and checked by hash.

.DEFAULT_GOAL := help
.PHONY: help run demo test check binary bench figures soak screenshots translations lock clean
.DELETE_ON_ERROR:
SHELL := /bin/sh

export PYTHON
VENV := .venv/bin
DATA ?= ./data
ARGS ?=

# What the executable is made of: it is built again when one of these is newer.
SOURCES := $(shell find netpulse packaging/entry.py -type f ! -name '*.pyc' 2>/dev/null) \
	netpulse.spec requirements/run.txt

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  PYTHON=python3.12 chooses the interpreter, DATA=DIR the data directory of run,"
	@echo "  ARGS=\"...\" adds options: make run ARGS=\"--port 9000\", make test ARGS=\"-k uptime\""

run: ## Start NetPulse on http://127.0.0.1:8080, with its data in ./data
	@sh packaging/venv.sh run
	@exec $(VENV)/python -m netpulse serve --data "$(DATA)" $(ARGS)

demo: ## Start an instance to look at, filled, with targets that fail and recover
	@sh packaging/venv.sh run
	@exec $(VENV)/python -m demo $(ARGS)

test: ## Run every check and every test (installs what they need)
	@sh packaging/test.sh $(ARGS)

check: ## Lint, formatting, types and layers
	@sh packaging/venv.sh dev
	@failed=; for step in "ruff check ." "ruff format --check ." mypy "lint-imports --no-logo"; do \
		echo "$$step"; $(VENV)/$$step || failed=1; \
	done; test -z "$$failed"

binary: dist/netpulse ## Build the executable dist/netpulse

dist/netpulse: $(SOURCES)
	@sh packaging/venv.sh dev
	@$(VENV)/python packaging/system_packages.py binary
	$(VENV)/pyinstaller --noconfirm --log-level ERROR --distpath dist --workpath build/pyinstaller netpulse.spec
	@$(VENV)/python packaging/sbom.py dist/netpulse.cdx.json dist/netpulse
	@ls -l dist/netpulse | awk '{ printf "dist/netpulse: %.1f MB\n", $$5 / 1000000 }'

bench: ## Measure checks, lag, CPU, memory and storage; results go to bench/results
	@sh packaging/venv.sh dev
	@$(VENV)/python packaging/system_packages.py --optional bench proxy browser
	@sh packaging/bench.sh $(ARGS)

figures: ## Write docs/measured.md anew from bench/results; nothing is measured
	@sh packaging/venv.sh dev
	$(VENV)/python bench/figures.py

soak: ## Test for hours: 2,000 monitors in trouble, simulated lives, kills, long sleeps, fuzzing
	@sh packaging/venv.sh dev
	@status=0; $(VENV)/python bench/soak.py --out bench/results $(ARGS) || status=$$?; \
	$(VENV)/python bench/figures.py && exit $$status
	NETPULSE_SEED=$$(date +%s) NETPULSE_SIMULATED_HOURS=1000 $(VENV)/python -m pytest -s \
		-o timeout=3600 tests/simulation
	NETPULSE_KILLS=250 $(VENV)/python -m pytest -s -o timeout=3600 tests/crash/test_kill.py \
		tests/crash/test_storm.py tests/crash/test_sealing.py
	NETPULSE_STOPPED_SECONDS=600 NETPULSE_STARVED_SECONDS=120 $(VENV)/python -m pytest -s \
		-o timeout=3600 tests/integration/test_starved.py \
		tests/integration/test_serve.py::test_suspended_process_blames_nobody
	NETPULSE_SEED=$$(date +%s) NETPULSE_FUZZ_SECONDS=300 $(VENV)/python -m pytest -s tests/document

screenshots: ## Take the pictures in docs/images
	@sh packaging/venv.sh dev
	@$(VENV)/python packaging/system_packages.py browser
	$(VENV)/python tests/browser/screenshots.py $(ARGS)

translations: ## Collect the texts of pages for translation and compile the catalogues
	@sh packaging/venv.sh dev
	@$(VENV)/python packaging/translations.py $(ARGS)

lock: ## Renew requirements/*.txt: the newest versions, with hashes
	@sh packaging/venv.sh dev
	@sh packaging/lock.sh

clean: ## Remove .venv, dist, build and caches; data stays
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
