# What people and CI call. `make help` lists the targets.

CARGO ?= cargo
PYTHON ?= python3
export RUSTDOCFLAGS ?= -D warnings

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

.PHONY: build
build: ## Build every binary (debug)
	$(CARGO) build --locked --workspace --bins

.PHONY: release
release: ## Build both programs, static and optimised as a whole (some minutes): target/release
	@mkdir -p "$(TARGET_DIR)"; packaging/static.sh "$(TARGET_DIR)" >/dev/null

# That builds the binaries too, with what tests add to their dependencies: built before, they would be built twice.
# testkit-features is there for its dependencies' features, with which they are not compiled once more. Without
# default features the libraries are tried as others see them; what their units compute is the same, and was tried.
# What makes later builds short takes a sixth of the CPU of a first one, so it begins with the second. Looked at once.
INCREMENTAL = $(eval INCREMENTAL := $(if $(wildcard $(TARGET_DIR)/debug/deps),1,0))$(INCREMENTAL)

.PHONY: test
test: export CARGO_INCREMENTAL ?= $(INCREMENTAL)
test: ## Build the binaries, then run every test
	$(CARGO) test --locked --workspace
	$(CARGO) test --locked -p dfcache -p testkit-features --no-default-features --doc
	$(CARGO) test --locked -p fake-dfdaemon -p testkit-features --no-default-features --test library
	$(CARGO) test --locked -p fake-dfdaemon -p testkit-features --no-default-features --doc

# Outside the workspace, with what it builds beside the workspace's.
GENERATE = --locked --manifest-path proto/generate/Cargo.toml --target-dir "$(TARGET_DIR)/generate"

.PHONY: generated
generated: ## Write proto/src/generated, after a change of a .proto file or of what compiles them
	$(CARGO) run $(GENERATE) --quiet --example write

.PHONY: contract
contract: ## Try the contract: ENDPOINT=<socket> VERSION=<0.2|1.5>, or fakes of both releases
	CONTRACT_ENDPOINT='$(abspath $(ENDPOINT))' CONTRACT_VERSION='$(VERSION)' $(CARGO) test --locked -p fake-dfdaemon --test contract

.PHONY: lint
lint: ## Formatting, clippy and rustdoc, warnings denied; the types that are made of the .proto files
	$(CARGO) fmt --all --check
	rustfmt --check fuzz/fuzz_targets/*.rs proto/generate/*/*.rs
	@tests/features.sh
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked -p dfcache --no-default-features --all-targets -- -D warnings
	$(CARGO) clippy --locked -p fake-dfdaemon --no-default-features --all-targets -- -D warnings
	$(CARGO) clippy --locked -p fake-dfdaemon --no-default-features --features control --all-targets -- -D warnings
	$(CARGO) clippy $(GENERATE) --all-targets -- -D warnings
	$(CARGO) test --quiet $(GENERATE)
	$(CARGO) doc --locked --workspace --no-deps --document-private-items

# Where cargo puts what it builds.
TARGET_DIR = $(shell $(CARGO) metadata --locked --no-deps --format-version 1 | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')

# Not the release: that takes three times as long, to be faster at what nobody waits for here.
.PHONY: demo
demo: ## Take a file round: import, stat, export both ways, compare (FILE=<path> for one of yours)
	@echo 'Compiling dfcache and fake-dfdaemon without optimisation: the first time one to two minutes on two cores, and 0.4 GB below target.'
	$(CARGO) build --locked -p dfcache -p fake-dfdaemon --bins
	@tests/demo.sh "$(TARGET_DIR)/debug"

# Of each release; and rounds of one import and two exports of each release, besides two kills.
DAEMON_KILLS = $(shell echo $$(($(or $(KILLS),500) / 4 + 1)))
CLIENT_ROUNDS = $(shell echo $$(($(or $(KILLS),500) / 12 + 1)))

.PHONY: kills
kills: build ## Kill the daemon in the middle of everything (KILLS=<n>, by default 500)
	FAKE_DFDAEMON_KILLS=$(DAEMON_KILLS) $(CARGO) test --locked -p fake-dfdaemon --test fake -- --nocapture crash::
	DFCACHE_TEST_KILL_ROUNDS=$(CLIENT_ROUNDS) $(CARGO) test --locked --test e2e -- --nocapture kills::
	@echo "$$((2 * $(DAEMON_KILLS))) kills in the store and $$((6 * $(CLIENT_ROUNDS) + 2)) under dfcache: nothing was lost"

.PHONY: load
load: ## Measure the fake with a million calls, 200 hosts, 100,000 tasks and 500 readers of events (some minutes)
	$(CARGO) test --locked --release -p fake-dfdaemon --test load -- --ignored --nocapture --test-threads 1

.PHONY: disk-errors
disk-errors: ## Fail every step of the store on the disk in every way, where make test takes one way each
	FAKE_DFDAEMON_ALL_ERRORS=1 $(CARGO) test --locked -p fake-dfdaemon --lib -- --nocapture crash_points::errors

.PHONY: packages
packages: release ## Build a .deb and an .rpm of each program (their tools are installed by cargo, once)
	@echo 'Making packages of them: the first time their tools are compiled, for 3 to 6 minutes on two cores.'
	@packaging/build.sh "$(TARGET_DIR)"

.PHONY: dist
dist: ## Make a tarball of each program that runs on any Linux: target/dist
	@mkdir -p "$(TARGET_DIR)"; packaging/dist.sh "$(TARGET_DIR)"

.PHONY: dist-test
dist-test: dist ## Run what is in the tarballs in a root with nothing else
	@packaging/dist-test.sh "$(TARGET_DIR)/dist"

.PHONY: images
images: ## Make an OCI image of each program, without a container daemon: target/images
	@mkdir -p "$(TARGET_DIR)"; packaging/images.sh "$(PYTHON)" "$(TARGET_DIR)"

.PHONY: images-test
images-test: images ## Hold the images to skopeo and umoci, and run them (takes both, jq and root)
	@packaging/images-test.sh "$(TARGET_DIR)/images"

.PHONY: wheels
wheels: ## Make a wheel of each program, install both, run their examples: target/wheels (needs the network once)
	@mkdir -p "$(TARGET_DIR)"; packaging/wheels.sh "$(PYTHON)" "$(TARGET_DIR)"

.PHONY: package-crates
package-crates: ## Make the .crate files that a registry would get, from what is committed (they are not compiled again)
	$(CARGO) package --locked --no-verify -p dfdaemon-api -p fake-dfdaemon -p dfcache

.PHONY: packages-test
packages-test: packages ## Install the packages into a scratch root and run what is in them
	@packaging/test.sh "$(TARGET_DIR)/packages"

.PHONY: cycles
cycles: ## Start, import, export and stop the daemon again and again (N=<n>, by default 1000): nothing is left
	FAKE_DFDAEMON_TEST_CYCLES=$(or $(N),1000) $(CARGO) test --locked -p fake-dfdaemon --test fake -- --nocapture run::cycles::

# Each client has a connection and files open, and so has the daemon.
.PHONY: soak
soak: build ## Let a crowd loose on a daemon among faults: every byte comes, nothing is left (MINUTES=10, CLIENTS=500)
	ulimit -n "$$(ulimit -Hn)"; \
	DFCACHE_TEST_SOAK_SECONDS=$$(( $(or $(MINUTES),10) * 60 )) DFCACHE_TEST_SOAK_CLIENTS=$(or $(CLIENTS),500) \
		$(CARGO) test --locked --test e2e -- --nocapture soak::a_crowd

.PHONY: completions-test
completions-test: build ## Type at bash, zsh and fish, and read what they complete (takes all three)
	@packaging/completions-test.sh "$(TARGET_DIR)/debug"

.PHONY: bench
bench: ## Measure both programs against what this machine can do (BENCH_JOBS=<part of a job's name>)
	@mkdir -p "$(TARGET_DIR)"; packaging/static.sh "$(TARGET_DIR)" dfcache-bench dfcache-bench-bare >/dev/null
	@"$(TARGET_DIR)/release/dfcache-bench" "$(TARGET_DIR)/release"

.PHONY: again
again: ## Run all tests over and over under load, with one thread and with sixteen (TIMES=<n>, by default 20)
	@tests/again.sh $(or $(TIMES),20)

.PHONY: audit
audit: ## Hold the dependencies to deny.toml: licences, sources, duplicates, advisories if reachable
	@tests/audit.sh "$(TARGET_DIR)"

# A change with which the tests never end (3) was noticed, unless another one was missed.
.PHONY: mutants
mutants: ## Change the modules that only compute, one place at a time: the unit tests have to notice (hours; RE=<regex> of their names)
	@export PATH="$(TARGET_DIR)/tools/bin:$$PATH"; \
	command -v cargo-mutants >/dev/null || CARGO_TARGET_DIR="$(TARGET_DIR)/tools/build" $(CARGO) install --quiet --locked --root "$(TARGET_DIR)/tools" cargo-mutants@27.1.0; \
	PROPTEST_MAX_SHRINK_ITERS=0 $(CARGO) mutants --workspace --output "$(TARGET_DIR)" $(if $(RE),--re '$(RE)') || \
	{ [ $$? -eq 3 ] && [ ! -s "$(TARGET_DIR)/mutants.out/missed.txt" ]; }

.PHONY: fuzz
fuzz: ## Feed each fuzz target for a minute (SECONDS=<n>, TARGET=<name>); takes a compiler of C++
	@fuzz/run.sh "$(TARGET_DIR)" $(or $(SECONDS),60) $(TARGET)

.PHONY: page-test
page-test: build ## Do on the fake's page what a person does, in a headless Chromium (needs chromium, node and npm; PARTS=<part of tests/page>)
	@tests/page/run.sh "$(TARGET_DIR)" $(PARTS)

.PHONY: page-gate
page-gate: build ## The same, installing what is missing with apt-get; where that fails, it says so and passes
	@tests/page/run.sh --gate "$(TARGET_DIR)"

.PHONY: beside
beside: build ## Walk at random beside a real dfdaemon 1.5.10, and compare (DFDAEMON=<path>, SEED=<n>, STEPS=<n>, WITHOUT='links leaving hosts'; needs the network once)
	@TARGET_DIR="$(TARGET_DIR)" DFDAEMON="$(DFDAEMON)" PYTHON="$(PYTHON)" tests/beside/run.sh $(or $(SEED),1) $(or $(STEPS),200) $(WITHOUT)

.PHONY: interop
interop: build ## Try clients in Python, made from proto/ and of dragonfly-api, one of grpc-js and one of grpc-go, and the control API with schemathesis and spectral (needs the network once)
	@tests/python/run.sh "$(PYTHON)" "$(TARGET_DIR)"
