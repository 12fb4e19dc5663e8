# Everything a person or CI runs, each target doing all its set-up by itself. Needs Python >= 3.11, make and git.
# PY names another interpreter (make test PY=python3.12), ARGS goes to pytest or to the demo (make test ARGS='-k host'),
# JOBS says how many tests run at once (make test JOBS=0: one after the other, as a debugger wants it).
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PY ?= $(shell command -v python3.11 || command -v python3 || echo python3)
ARGS ?=
# More than there are processors: tests also wait, for processes to start and for disks.
JOBS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 2)))
BIN := .venv/bin
READY := .venv/.ready
# What tests drive now; tests/conftest.py has the same list with how each is found.
TESTBED_PACKAGES := openssh-server openssh-client mount e2fsprogs strace openssl curl docker-registry skopeo \
  docker.io debootstrap iproute2 gnucobol3
# What a Debian host of the tests has, beside what every Debian has.
HOST_PACKAGES := systemd-sysv,libpam-systemd,dbus,openssh-server,python3,sudo,iproute2,procps
AZURITE := azurite@3.35.0
MLFLOW := mlflow>=3,<3.18
ZOWE := @zowe/cli@8.37.1
# Other servers that `make bench` compares with, each in an environment of its own.
PEERS := fastapi mlserver mlflow bentoml
PEER_fastapi := fastapi==0.165.0 pydantic==2.14.3 uvicorn==0.54.0 uvloop==0.23.0 httptools==0.9.0 onnxruntime==1.31.1
PEER_mlserver := mlserver==1.7.1 onnxruntime==1.31.1
PEER_mlflow := mlflow==3.17.2 onnx==1.23.2 onnxruntime==1.31.1
PEER_bentoml := bentoml==1.4.39 onnxruntime==1.31.1
TEST_CACHE := $(or $(MLSHIP_TEST_CACHE),$(HOME)/.cache/mlship-tests)

# Only the lock decides what is installed: no user's uv settings, no other Python fetched behind our back.
export UV_NO_CONFIG := 1
export UV_PYTHON_DOWNLOADS := never
export PIP_DISABLE_PIP_VERSION_CHECK := 1
LOCK_WITH := --no-config --universal --generate-hashes --python-version 3.11 --no-header --all-extras --group dev

# Kept out of `make test`: they take long, or have their own target.
NOT_QUICK := not builds and not pages and not hosts and not faults and not slow and not packaging

.PHONY: help venv demo test check builds pages hosts bench peers faults slow evidence packaging testbed docs lock upgrade format clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

venv: $(READY) ## the environment of requirements.lock in .venv

demo: $(READY) ## the whole story on real data, in two minutes: train, build, deploy, upgrade under load, roll back
	@$(BIN)/python demo/run.py $(ARGS)

test: $(READY) ## unit tests, the conformance kit on `local`, and what servers are here (< 10 min)
	$(BIN)/pytest -m "$(NOT_QUICK)" -n $(JOBS) --dist worksteal $(ARGS)

check: $(READY) ## lint, format, types, import contracts, generated docs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	# The server runs on 3.9, too; 3.10 is the oldest that mypy knows, and less than what numpy's stubs know.
	$(BIN)/mypy --python-version 3.10 --no-warn-return-any src/mlship_runtime
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

builds: $(READY) ## the models of every framework: built, refused, repeated and deployed (10 min)
	$(BIN)/pytest -m "builds and not slow" -n $(JOBS) --dist worksteal $(ARGS)

pages: $(READY) ## every command that README and docs show, page by page (5 min)
	$(BIN)/pytest -m pages -n $(JOBS) --dist worksteal $(ARGS)

hosts: $(READY) ## services on whole Debian hosts, kept by systemd or by themselves (3 min)
	$(BIN)/pytest -m "hosts and not slow" $(ARGS)

bench: $(READY) ## the figures we promise, as ratios measured in one run
	@failed=0; for bench in tests/bench/bench_*.py; do echo "== $$bench"; $(BIN)/python "$$bench" || failed=1; done; exit $$failed

peers: $(READY) $(PEERS:%=$(TEST_CACHE)/peers/%/.ready) ## the other servers that the bench compares with (1 GB)

$(TEST_CACHE)/peers/%/.ready: Makefile
	@rm -rf "$(@D)"
	@$(BIN)/uv venv --quiet --python "$(PY)" "$(@D)"
	@$(BIN)/uv pip install --quiet --python "$(@D)/bin/python" $(PEER_$*)
	@touch "$@"
	@echo "$* is ready"

faults: $(READY) ## kill, cut and fill up everything, at every point
	$(BIN)/pytest -m faults -n $(JOBS) --dist worksteal $(ARGS)

slow: $(READY) ## what takes minutes
	@$(BIN)/pytest -m slow $(ARGS) || { [ $$? = 5 ] && echo 'no test is marked slow'; }

evidence: $(READY) ## run the faults and the bench in full and keep what they say, with the commit, in docs/evidence
	@git diff --quiet HEAD || { echo "commit first: evidence names the commit it is of" >&2; exit 1; }
	@for lane in faults bench; do \
	  { git log -1 --format='commit %H, %cs'; uname -sm; nproc; } | paste -sd' ' > docs/evidence/$$lane.part; \
	  $(MAKE) --no-print-directory $$lane ARGS='-v --no-header' 2>&1 | tee -a docs/evidence/$$lane.part; \
	  mv docs/evidence/$$lane.part docs/evidence/$$lane.txt; \
	done

packaging: $(READY) ## wheel, sdist and editable install, each in an environment of its own
	$(BIN)/pytest -m packaging $(ARGS)

testbed: ## the real servers and tools that tests drive (Debian packages, Azurite and zowe from npm, MLflow; needs root)
	@[ "$$(id -u)" = 0 ] || { echo "make testbed installs Debian packages ($(TESTBED_PACKAGES)): run it as root" >&2; exit 1; }
	@missing=(); command -v node >/dev/null || missing+=(nodejs); command -v npm >/dev/null || missing+=(npm); \
	for name in $(TESTBED_PACKAGES); do dpkg -s "$$name" >/dev/null 2>&1 || missing+=("$$name"); done; \
	if [ "$${#missing[@]}" -gt 0 ]; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}"; \
	fi
	@[ -x "$(TEST_CACHE)/azurite/node_modules/.bin/azurite-blob" ] || \
	  npm install --silent --no-audit --no-fund --no-update-notifier --prefix "$(TEST_CACHE)/azurite" $(AZURITE)
	@[ -x "$(TEST_CACHE)/zowe/node_modules/.bin/zowe" ] || \
	  npm install --silent --no-audit --no-fund --no-update-notifier --prefix "$(TEST_CACHE)/zowe" $(ZOWE)
	@[ -e "$(TEST_CACHE)/mlflow/.ready" ] || { \
	  $(PY) -m venv --clear "$(TEST_CACHE)/mlflow" && "$(TEST_CACHE)/mlflow/bin/pip" install --quiet '$(MLFLOW)' && \
	  touch "$(TEST_CACHE)/mlflow/.ready"; }
	@$(MAKE) --no-print-directory "$(TEST_CACHE)/debian-host.tar"
	@echo "testbed: $(TESTBED_PACKAGES) $(AZURITE) $(ZOWE) $(MLFLOW) ready"

# dpkg need not wait for the disk here: what is cut short is made again.
$(TEST_CACHE)/debian-host.tar:
	@mkdir -p "$(@D)"; rm -rf "$@.root"
	@echo "a Debian host is made for the tests (2 min)"
	@DPKG_FORCE=unsafe-io debootstrap --variant=minbase --include=$(HOST_PACKAGES) bookworm "$@.root" > "$@.log" || \
	  { tail -3 "$@.log" >&2; exit 1; }
	@cd "$@.root" && rm -rf var/cache/apt/* var/lib/apt/lists/* usr/share/doc usr/share/locale usr/share/man
	@tar -C "$@.root" -cf "$@.part" . && mv "$@.part" "$@"
	@rm -rf "$@.root" "$@.log"

docs: $(READY) ## write docs/reference anew from the code
	$(BIN)/python docs/generate.py

lock: $(READY) ## add to requirements.lock what pyproject.toml asks for, keeping what is locked
	$(BIN)/uv pip compile $(LOCK_WITH) --quiet --output-file requirements.lock pyproject.toml

upgrade: $(READY) ## renew every version in requirements.lock
	$(BIN)/uv pip compile $(LOCK_WITH) --quiet --upgrade --output-file requirements.lock pyproject.toml

format: $(READY) ## put the code in order
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove what the targets made (.venv too)
	rm -rf .venv .demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist

# pip is used once, for the locked uv with its locked hash; from there on uv alone.
$(READY): pyproject.toml requirements.lock
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "mlship needs Python >= 3.11, '$(PY)' is not: name one, e.g. make PY=/usr/bin/python3.11" >&2; exit 1; }
	@[ -x $(BIN)/uv ] || { \
	  $(PY) -m venv .venv || { echo "cannot make .venv: on Debian, apt-get install python3-venv" >&2; exit 1; }; \
	  awk '/^uv==/ { on = 1; print; next } /^[^ ]/ { on = 0 } on && !/#/' requirements.lock > .venv/uv.txt; \
	  $(BIN)/python -m pip install --quiet --require-hashes --no-deps -r .venv/uv.txt; }
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements.lock
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $(READY)
