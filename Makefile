# Each line can be typed by hand; with an environment of your own, leave out `.venv/bin/`.
PYTHON ?= python3
BIN := .venv/bin
# Tests that share a costly fixture stay together, the slowest come first: tests/conftest.py says so.
# What is compiled is kept, whatever the environment wants: new processes start sooner, and so does the next time.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder

.PHONY: quickstart test check test-faults test-cluster test-lowest lint style bench lock audit

quickstart: .venv/installed  ## Train all six networks on real handwritten digits and compare them
	@$(BIN)/python -m experiment.quickstart

# mypy takes one processor, and what it says comes after the tests.
define with_types
said=$$(mktemp); $(BIN)/mypy >$$said 2>&1 & mypy=$$!; \
$(1); tests=$$?; wait $$mypy; types=$$?; cat $$said; rm $$said; exit $$((tests || types))
endef

test: style  ## Check style and types, and run the tests
	@$(call with_types,$(PYTEST) -m "not exhaustive")

check: style  ## The same with the quick tests only, in a minute
	@$(call with_types,$(PYTEST) -m "not slow and not exhaustive")

test-faults: .venv/installed-dev  ## Inject every fault of results/faults.md, at every instant; what is skipped says why
	$(PYTEST) -p tests.faults.report -m "faults or exhaustive"

test-cluster: .venv/installed-dev  ## Train on two network namespaces and on a real SLURM; as root, INSTALL=1 installs both
ifdef INSTALL
	apt-get install --yes --no-install-recommends iproute2 slurm-wlm munge
endif
	TEST_CLUSTER=1 $(BIN)/python -m pytest tests/cluster

test-lowest:  ## Run the quick tests with the lowest versions that pyproject.toml allows, in .venv-lowest
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet uv
	.venv-lowest/bin/uv pip install --python .venv-lowest --resolution lowest-direct --requirement pyproject.toml --group dev
	.venv-lowest/bin/python -m pytest -m "not slow and not exhaustive"

lint: style  ## Check style and types
	$(BIN)/mypy

style: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: .venv/installed  ## Speed against what one would use instead, side by side
	$(BIN)/python -m benchmarks.data_path
	$(BIN)/python -m benchmarks.training_step
	$(BIN)/python -m benchmarks.step_overhead
	$(BIN)/python -m benchmarks.gan_step

lock: .venv/bin/python  ## Pin the newest versions that pyproject.toml allows, for every platform
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --custom-compile-command "make lock" pyproject.toml --output-file requirements.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --custom-compile-command "make lock" --group dev --constraints requirements.txt --output-file requirements-dev.txt

audit: .venv/bin/python  ## Ask the public database for known vulnerabilities of what is pinned
	@folder=$$(mktemp -d); trap "rm -rf $$folder" EXIT; log=$$folder/log; \
	$(BIN)/python -m venv $$folder && $$folder/bin/pip install --quiet pip-audit >$$log 2>&1 && \
	  $$folder/bin/pip-audit --disable-pip --require-hashes --requirement requirements.txt >$$log 2>&1; status=$$?; \
	if grep -q "could not be audited" $$log || ! grep -q "known vulnerabilit" $$log; then \
	  echo "make audit needs a network: pip-audit or its database of vulnerabilities cannot be reached."; exit 1; \
	fi; cat $$log; exit $$status

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(if $(KEEP_TORCH),--system-site-packages) .venv

# KEEP_TORCH=1 keeps a PyTorch that $(PYTHON) or .venv has, and adds what pyproject.toml lists besides.
.venv/installed: requirements.txt | .venv/bin/python
ifdef KEEP_TORCH
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
	  >.venv/dependencies.txt
	$(BIN)/python -m pip install --disable-pip-version-check --requirement .venv/dependencies.txt
else
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes --requirement requirements.txt
endif
	touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes --requirement requirements-dev.txt
	touch $@

.PHONY: release-notes
release-notes:  ## Print what CHANGELOG.md says of a version: make release-notes VERSION=0.1.0
	@awk -v heading="## $(VERSION) " \
	  '/^## / {inside = index($$0 " ", heading) == 1; found += inside; next} inside; END {exit !found}' CHANGELOG.md
