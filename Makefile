# The two commands for a fresh Debian machine are `make demo` and `make test`.

# Cargo of rustup, also where the login shell does not know it.
export PATH := $(PATH):$(HOME)/.cargo/bin
RUN = $(CURDIR)/scripts

.PHONY: help demo test bench lint docs image golden fuzz
.DEFAULT_GOAL := help

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' Makefile

demo: ## from nothing to a deployed push, on a private Docker Engine
	@$(RUN)/demo.sh

test: ## every test, with a real Docker Engine; installs what is missing
	@$(RUN)/setup.sh --tests
	@PROFILE=ci $(RUN)/image.sh context
	@. $(RUN)/target.sh; cargo test --locked --profile ci --package rustic_cdc
	@. $(RUN)/target.sh; cargo test --locked --profile ci

bench: ## the figures, beside docker compose 2.40 on the same machine
	@$(RUN)/setup.sh
	@$(RUN)/bench.sh

lint: ## format, clippy, documentation, shell syntax; no warnings
	@cargo fmt --check
	@. $(RUN)/target.sh; cargo clippy --locked --profile ci --all-targets -- --deny warnings
	@. $(RUN)/target.sh; RUSTDOCFLAGS='--deny warnings' \
		cargo doc --locked --profile ci --no-deps --document-private-items
	@for script in scripts/*.sh .ci/run; do bash -n $$script || exit 1; done
	@if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh .ci/run; fi
	@if command -v cargo-deny >/dev/null; then cargo deny check; fi

docs: ## the documentation of the code, in target/doc
	@cargo doc --locked --no-deps --document-private-items

image: ## the image `roadstead`, FROM scratch
	@$(RUN)/setup.sh
	@$(RUN)/image.sh

golden: ## what docker compose makes of the cases in tests/compose
	@$(RUN)/golden.py

fuzz: ## each parser with hostile input, a minute each (FUZZ_SECONDS=60)
	@$(RUN)/fuzz.sh
