# make demo: releases one good version and rolls back a bad one, on a cluster in memory.
# make test: every test that needs no cluster.
.DEFAULT_GOAL := help
CARGO ?= cargo

.PHONY: help
help: ## what there is
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: demo
demo: program ## release a good and a bad version on an embedded cluster, and show it (ARGS="--listen 127.0.0.1:8001")
	@$(PROGRAM) demo $(ARGS)

# One build serves all commands of the README.
TARGET ?= $(or $(CARGO_TARGET_DIR),target)
PROGRAM = $(TARGET)/debug/vexil
.PHONY: program
program:
	@[ -x $(PROGRAM) ] || echo "building vexil: three to ten minutes the first time, the crates come from the network; later seconds, without it"
	@$(CARGO) build --bin vexil

PREFIX ?= $(HOME)/.local
.PHONY: install
install: ## put vexil, the kubectl plugin, completions and man pages under PREFIX (by default ~/.local)
	$(CARGO) build --release --bin vexil
	install -D -m 755 $(TARGET)/release/vexil $(DESTDIR)$(PREFIX)/bin/vexil
	ln -sf vexil $(DESTDIR)$(PREFIX)/bin/kubectl-canary
	mkdir -p $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	$(TARGET)/release/vexil completions bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/vexil
	$(TARGET)/release/vexil completions zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_vexil
	$(TARGET)/release/vexil completions fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/vexil.fish
	$(TARGET)/release/vexil man $(DESTDIR)$(PREFIX)/share/man/man1
	@command -v vexil >/dev/null || echo "add $(PREFIX)/bin to your PATH"

.PHONY: setup
setup: ## install what the tests need beside Rust: kubectl and Helm
	./.ci/tools install

.PHONY: test
test: ## the tests that need no cluster
	./.ci/tools check
	$(CARGO) test --workspace
	$(CARGO) test --quiet --workspace --test it checklist::every_row -- --nocapture

.PHONY: test-providers
test-providers: ## providers and mails against real parts: Prometheus, VictoriaMetrics, Alertmanager, Graphite, CloudWatch of moto, a mail server (installs them into a cache once)
	./tests/real/run

.PHONY: test-proxies
test-proxies: ## releases behind a real Traefik with real requests, on the embedded cluster (ARGS="--only gateway"; installs it once)
	./tests/real/proxies $(ARGS)

.PHONY: explore
explore: ## every state of the decision core in small worlds (ONLY=name STATES=n SECONDS=n a case)
	$(CARGO) test --config 'profile.dev.package.vexil.opt-level=2' --test explore -- --ignored --nocapture every_state

.PHONY: simulate-test
simulate-test: ## as many histories with faults as fit in SOAK_SECONDS (240), after those that failed once
	SECONDS_IN_ALL=$(or $(SOAK_SECONDS),240) $(CARGO) test --quiet --test soak -- --nocapture histories

# What the time of a history goes into, optimised.
export SOAK_PROFILE := $(foreach crate,vexil kubesim serde_json,--config profile.dev.package.$(crate).opt-level=2)

.PHONY: soak
soak: ## SEEDS=n histories with faults after FROM; SEED=n tells one of them
	SEEDS=$(or $(SEEDS),1000) FROM=$(or $(FROM),2001) SEED=$(SEED) $(CARGO) test $(SOAK_PROFILE) --test soak -- --nocapture histories

.PHONY: planted
planted: ## how long histories take to find each of the deliberate bugs (ONLY=part of a name)
	./tests/soak/planted.sh

.PHONY: lint
lint: ## formatting, lints, licences and banned crates
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	./.ci/deny

.PHONY: image
image: ## the controller's image as an OCI archive (PLATFORMS="amd64 arm64"); needs no daemon
	./deploy/image/build $(PLATFORMS)

.PHONY: bench
bench: ## how long an hour of release time takes
	$(CARGO) bench --bench simulated_hour

.PHONY: bench-cluster
bench-cluster: ## what CANARIES=1000 cost a controller of its own, beside FOREIGN=5000 objects of others
	$(CARGO) bench --bench cluster

.PHONY: fuzz
fuzz: ## what strangers send, for a minute a target (FUZZ_SECONDS; needs nightly and cargo-fuzz)
	for target in canary template metrics hook receiver request loadtester gate concord ngrinder; do \
		$(CARGO) +nightly fuzz run $$target -- -max_total_time=$${FUZZ_SECONDS:-60} || exit 1; \
	done

.PHONY: book
book: ## the documentation as a book in target/book (installs mdbook into a cache under the home directory, once)
	./.ci/book

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
