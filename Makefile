# make demo: releases one good version and rolls back a bad one, on a cluster in memory.
# make test: every test that needs no cluster.
.DEFAULT_GOAL := help
CARGO ?= cargo

.PHONY: help
help: ## what there is
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: demo
demo: ## release a good and a bad version on an embedded cluster, and show it
	$(CARGO) run --quiet -- demo $(ARGS)

.PHONY: setup
setup: ## install what the tests need beside Rust: kubectl and Helm
	./.ci/tools install

.PHONY: test
test: ## the tests that need no cluster
	./.ci/tools check
	$(CARGO) test --workspace
	$(CARGO) test --quiet --workspace --test it checklist::every_row -- --nocapture

.PHONY: lint
lint: ## formatting, lints, licences and banned crates
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	./.ci/deny

.PHONY: bench
bench: ## how long an hour of release time takes
	$(CARGO) bench --bench simulated_hour

.PHONY: bench-cluster
bench-cluster: ## what CANARIES=1000 cost a controller of its own, beside FOREIGN=5000 objects of others
	$(CARGO) bench --bench cluster

.PHONY: fuzz
fuzz: ## what strangers send, for a minute a target (FUZZ_SECONDS; needs nightly and cargo-fuzz)
	for target in canary template metrics hook request loadtester; do \
		$(CARGO) +nightly fuzz run $$target -- -max_total_time=$${FUZZ_SECONDS:-60} || exit 1; \
	done

.PHONY: crds
crds: ## write crds/ and its copies in deploy/ from the types
	$(CARGO) run --quiet -- crds --out crds
	UPDATE_DEPLOY=1 $(CARGO) test --test it deploy

.PHONY: e2e
e2e: ## releases on a real control plane with real traffic (Linux, root)
	./e2e/run

.PHONY: e2e-shell
e2e-shell: ## bring that cluster up and open a shell with kubectl
	./e2e/run shell
