# The same verbs at the desk and in CI. Two of them do all the set-up: `make demo` and `make test`.
.DEFAULT_GOAL := help
.PHONY: help demo demo-full demo-sso test test-faults test-guards interop bench bench-quick bench-micro bench-scale bench-scenarios bench-hostile bench-instructions bench-sign-in bench-rechecks screenshots soak check fmt lint build fuzz k8s-check k8s-rule setup-demo setup-full setup-sso setup-test setup-interop setup-bench setup-scale setup-instructions setup-k8s clean

# Where cargo puts what it builds, if the environment says so.
TARGET := $(or $(CARGO_TARGET_DIR),./target)

# Another port for the demos: make demo DEMO_PORT=8090
LISTEN := $(if $(DEMO_PORT), --listen 127.0.0.1:$(DEMO_PORT))

help: ## Show these lines
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup-demo ## Build, start a gateway in front of a small app, print what to try
	@echo "==> building (the first time takes some minutes; nothing is installed outside this folder)"
	cargo build --locked
	@echo "==> starting the demo"
	@exec $(TARGET)/debug/doorward demo$(LISTEN)

demo-full: setup-full ## The same on a private redis-server and postgres, started and stopped for you
	@echo "==> building (the first time takes some minutes)"
	cargo build --locked
	@echo "==> starting a redis-server, a postgres and the demo"
	@exec .ci/stores $(TARGET)/debug/doorward demo$(LISTEN)

demo-sso: setup-sso ## The demo with an identity provider beside it, to sign in with
	@echo "==> building (the first time takes some minutes)"
	cargo build --locked
	@echo "==> starting a provider and the demo"
	@exec .ci/sso $(TARGET)/debug/doorward demo$(LISTEN)

# Seconds without a line after which the tests are ended as hanging. The longest test takes 210 s on a quiet machine.
SILENCE := 1200

test: setup-test ## Bring what the tests need, then format, lint and every test
	@echo "==> [1/5] format"
	cargo fmt --check
	@echo "==> [2/5] lint"
	cargo clippy --locked --all-targets -- -D warnings
	@echo "==> [3/5] build, and the release before"
	cargo test --locked --no-run
	@.ci/previous
	@echo "==> [4/5] manifests"
	@$(MAKE) --no-print-directory k8s-check
	@echo "==> [5/5] tests and documentation tests"
	TMPDIR="$$(.ci/scratch)" .ci/watched $(SILENCE) cargo test --locked
	@echo "==> all passed"

# Time for each of the three topologies.
FAULTS_FOR ?= 5m

test-faults: setup-test ## Faults in random order, clients that never stop, and a checker of the history: FAULTS_FOR=60m
	@echo "==> $(FAULTS_FOR) for each of three topologies"
	FAULTS_FOR=$(FAULTS_FOR) TMPDIR="$$(.ci/scratch)" cargo test --locked --test faults promises -- --nocapture

test-guards: setup-test ## Switch each guard off in a test build: the fault suite must notice, each within ten minutes
	TMPDIR="$$(.ci/scratch)" cargo test --locked --features broken-guards --test faults guards:: -- --nocapture

interop: setup-interop ## Real clients, apps and identity providers; Node, Java with Maven, and Go where they are installed
	cargo build --locked
	.venv/bin/python tests/interop/run.py
	.venv/bin/python tests/interop/sign_in.py

bench: setup-bench ## Measure the check beside nginx, HAProxy and Envoy (under 20 minutes; docs/bench)
	cargo bench --locked --bench compare -- --publish docs/bench --page README.md

bench-quick: setup-bench ## The promised ratios alone (under 3 minutes)
	cargo bench --locked --bench compare -- --quick

bench-micro: setup-full ## What each step of a request costs alone (criterion; two minutes)
	cargo bench --locked --bench micro

bench-hostile: setup-full ## What the worst known requests cost beside an ordinary one (two minutes)
	cargo bench --locked --bench hostile

bench-scale: setup-scale ## Threads, a million sessions, eight gateways, refreshes: what grows, and how (ten minutes)
	cargo bench --locked --bench scale
	@mkdir -p docs/bench && cp $(TARGET)/bench/scale.* docs/bench/

bench-scenarios: setup-full ## A flash sale, a viral day, an incident, a cold start (under 12 minutes)
	cargo bench --locked --bench scenarios
	@mkdir -p docs/bench && cp $(TARGET)/bench/scenarios.* $(TARGET)/bench/cold.svg docs/bench/

bench-instructions: setup-instructions ## Instructions a request, counted: the same on a busy machine (two minutes)
	cargo bench --locked --bench instructions
	@python3 benches/instructions/flame.py $(TARGET)/bench/instructions.callgrind "a signed-in request" $(TARGET)/bench/instructions.svg
	@mkdir -p docs/bench && cp $(TARGET)/bench/instructions.md $(TARGET)/bench/instructions.json $(TARGET)/bench/instructions.svg docs/bench/

bench-sign-in: setup-full ## Do refused sign-ins differ in time, and what do 300 at once cost others? (three minutes)
	cargo bench --locked --bench sign_in
	@mkdir -p docs/bench && cp $(TARGET)/bench/sign-in.* docs/bench/

bench-rechecks: setup-test ## 1,000 people whose rechecks at a provider fall due at once, on three gateways (five minutes)
	DOORWARD_PEOPLE=1000 TMPDIR="$$(.ci/scratch)" cargo test --locked --test gateway stores::rechecks -- --nocapture --test-threads 1

screenshots: setup-test ## Take the pictures in docs/screenshots anew
	DOORWARD_SCREENSHOTS=docs/screenshots cargo test --locked --test browser every_page

soak: setup-test ## Ten minutes of JupyterLab and Django in a browser, with access tokens of 30 seconds
	DOORWARD_SOAK_MINUTES=10 cargo test --locked --test browser apps:: -- --nocapture

check: ## Type-check quickly
	cargo check --locked --all-targets

fmt: ## Format
	cargo fmt

lint: ## Lint
	cargo clippy --locked --all-targets -- -D warnings

build: setup-demo ## Build the release binary
	cargo build --locked --release

# Seconds for each target: an hour for the six.
FUZZ_SECONDS ?= 600
FUZZ_TARGETS := target headers cookies tokens config passkey

# RUSTC_BOOTSTRAP: the address sanitizer is behind a switch of nightly compilers; so the one that is here takes it too.
fuzz: ## Fuzz what reads strangers' bytes, for an hour; needs cargo-fuzz and g++
	@cargo fuzz --version >/dev/null 2>&1 || { echo "make fuzz: cargo-fuzz is missing: cargo install --locked cargo-fuzz" >&2; exit 1; }
	@mkdir -p fuzz/corpus/config && cp gateway.toml fuzz/corpus/config/
	@set -e; for target in $(FUZZ_TARGETS); do \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir fuzz -O $$target -- -max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=1; \
	done

k8s-check: setup-k8s ## Check k8s/ and the Dockerfile: every manifest, and what they say of each other
	cargo build --locked
	@.venv/bin/python tests/k8s/k8s_check.py
	@PYTHONPATH=tests/k8s .venv/bin/python -m unittest discover --quiet --start-directory tests/k8s/tests

k8s-rule: setup-k8s ## Make the PrometheusRule of alerts.yaml
	@.venv/bin/python tests/k8s/k8s_check.py --write-rule

setup-demo:
	@.ci/setup demo

setup-full:
	@.ci/setup full

setup-sso:
	@.ci/setup sso

setup-test:
	@.ci/setup test

setup-interop:
	@.ci/setup interop

setup-bench:
	@.ci/setup bench

setup-scale:
	@.ci/setup scale

setup-instructions:
	@.ci/setup instructions

setup-k8s:
	@.ci/setup k8s

clean: ## Remove what was built
	cargo clean
	rm -rf .venv
