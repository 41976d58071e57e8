# make demo: from nothing to a passing run. make test: the whole suite. Both install what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCKER ?= docker
IMAGE ?= predeploy:latest
DIST ?= dist
REQUIREMENTS ?= requirements.txt

.PHONY: demo test drift kill lint format requirements sbom clean

demo: $(STAMP)
	$(BIN)/predeploy demo

# TEST_POSTGRES_BIN=/usr/lib/postgresql/15/bin runs it on another server; PYTEST_ARGS narrows it.
# One process a core, each with a server of its own.
test: $(STAMP)
	$(BIN)/python -m pytest -q --numprocesses=auto --dist=loadgroup $(PYTEST_ARGS)

# The long forms: make drift N=500 FROM=1000, make kill N=50.
drift: $(STAMP)
	DRIFTS=$(or $(N),200) DRIFT_FROM=$(or $(FROM),0) $(BIN)/python -m pytest -q --timeout=0 \
		tests/end_to_end/test_drift.py $(PYTEST_ARGS)

kill: $(STAMP)
	KILLS=$(or $(N),50) KILL_FROM=$(or $(FROM),0) $(BIN)/python -m pytest -q --timeout=0 \
		tests/end_to_end/test_kill.py $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What the image installs: all that pyproject.toml asks for, with every hash. Pins are kept where they
# still fit; make requirements UPGRADE=--upgrade takes the newest.
requirements: $(STAMP)
	UV_CUSTOM_COMPILE_COMMAND="make requirements" $(BIN)/uv pip compile --quiet --universal \
		--python-version 3.11 --generate-hashes --no-annotate $(UPGRADE) \
		--output-file $(REQUIREMENTS) pyproject.toml

# What is in the image, for scanners. What psycopg's wheel was built from (libpq, OpenSSL) nobody names:
# watch its version for those.
sbom: $(STAMP)
	mkdir -p $(DIST)
	$(DOCKER) save --output $(DIST)/image.tar $(IMAGE)
	SYFT_CHECK_FOR_APP_UPDATE=false $(BIN)/syft scan --quiet --source-name predeploy \
		--select-catalogers +sbom-cataloger \
		docker-archive:$(DIST)/image.tar --output spdx-json=$(DIST)/predeploy.spdx.json
	rm $(DIST)/image.tar

clean:
	rm -rf $(VENV)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@
