# make demo: releases one good version and rolls back a bad one on an embedded cluster.
# make test: everything that needs no cluster.
# make help: the rest.
.DEFAULT_GOAL := help
CARGO ?= cargo

.PHONY: help
help: ## what there is
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: test
test: ## the tests that need no cluster
	$(CARGO) test --workspace

.PHONY: lint
lint: ## formatting and lints
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
