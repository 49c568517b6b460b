# Every operation of the repository; `make` or `make help` lists them. Every target runs without arguments.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

FP := node apps/cli/fp.mjs
AVA := node test/tiers.mjs

# What a demonstration run looks like: make demo EVENTS=500000 SPEEDUP=0 KEEP=1 STACK=native
EVENTS ?= 20000
SPEEDUP ?= 0
KEEP ?=
STACK ?=
export STACK

##@ Start here

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: ## Check the tools, install dependencies, fetch the servers' software (nothing if up to date)
	@node apps/dev-stack/setup.mjs

.PHONY: demo
demo: setup ## The whole platform once, with a verdict (EVENTS=20000 SPEEDUP=0 KEEP=1 STACK=native|compose)
	@$(FP) demo --events $(EVENTS) --speedup $(SPEEDUP) $(if $(filter-out 0,$(KEEP)),--keep)

.PHONY: live
live: setup ## Keep runs flowing at 600x until Ctrl-C
	@$(FP) live

.PHONY: smoke
smoke: setup ## One fresh run capped at 20 events
	@$(FP) smoke

##@ Servers

.PHONY: stack-up
stack-up: setup ## Start the servers and wait until they are healthy
	@$(FP) stack up

.PHONY: stack-down
stack-down: setup ## Stop the servers; data stays
	@$(FP) stack down

.PHONY: stack-status
stack-status: setup ## Show each server
	@$(FP) stack status

.PHONY: stack-logs
stack-logs: setup ## Show the end of each server's log
	@$(FP) stack logs

.PHONY: topology-plan
topology-plan: stack-up ## Show how the cluster differs from the topics and schemas in the files
	@$(FP) topology plan

.PHONY: topology-apply
topology-apply: stack-up ## Make the cluster what the files say
	@$(FP) topology apply

##@ Operations (each brings up what it needs)

.PHONY: run-new
run-new: topology-apply ## Start a fresh platform run and print its id
	@$(FP) run new

.PHONY: oracle-sync
oracle-sync: stack-up ## Copy the sample world (made if missing) into the oracle store
	@$(FP) oracle sync

.PHONY: oracle-pack
oracle-pack: stack-up ## Describe the synced world as a pack
	@$(FP) oracle pack

.PHONY: oracle-seal
oracle-seal: stack-up ## Seal the pack
	@$(FP) oracle seal

.PHONY: oracle-check
oracle-check: stack-up ## Check the sealed pack against its digests and gates
	@$(FP) oracle check

.PHONY: oracle-view
oracle-view: stack-up ## Build the time-sorted stream views
	@$(FP) oracle view

.PHONY: sr-run
sr-run: topology-apply ## Plan a scenario run, gather its evidence, publish READY
	@$(FP) sr submit

.PHONY: sr-reemit
sr-reemit: topology-apply ## Publish READY of the latest run again, as a new attempt
	@$(FP) sr reemit

.PHONY: wsp-once
wsp-once: topology-apply ## Replay the runs that are ready, then stop
	@$(FP) wsp once --speedup 0

.PHONY: gate
gate: topology-apply ## Run the ingestion gate in the foreground
	@$(FP) gate run

.PHONY: gate-verify
gate-verify: topology-apply ## Check that bus, outcomes and receipts agree
	@$(FP) gate verify

.PHONY: bus-tail
bus-tail: topology-apply ## Print the bus as it moves
	@$(FP) bus tail

##@ Checks

.PHONY: test-tools
test-tools: setup ## The programs that tests use: Chromium, kcat, Python
	@node apps/dev-stack/test-tools.mjs

.PHONY: test
test: test-tools ## Every test
	@$(AVA) unit integration faults browser

.PHONY: test-unit
test-unit: setup ## Tests that need no server
	@$(AVA) unit

.PHONY: test-integration
test-integration: test-tools ## Tests on a fresh stack of real servers
	@$(AVA) integration

.PHONY: test-faults
test-faults: test-tools ## Tests that kill, pause and cut off
	@$(AVA) faults

.PHONY: test-browser
test-browser: test-tools ## Tests of the lag console in Chromium
	@$(AVA) browser

.PHONY: lint
lint: setup ## Types, lint rules, format, import boundaries, dead code
	npx tsc --noEmit
	npx eslint .
	npx prettier --check .
	npx depcruise --config .dependency-cruiser.cjs lib apps
	npx knip
