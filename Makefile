# The commands of this tree; `make` lists them. Each line here is what a person would type.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
CARGO ?= cargo
# What is handed on to the program: make demo ARGS="--help"
ARGS ?=
# Kills on each database, and what they are drawn from.
KILLS ?= 300
SEED ?= 1

.PHONY: help demo run test chaos check bench models clean-demo need

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

demo: need ## Build, fetch the speech models, hold spoken calls with the built-in agent (ARGS="--help" lists options)
	@echo "caly: building; the first build takes minutes, later ones seconds"
	$(CARGO) build --release --package caly
	scripts/fetch-models
	$(CARGO) run --release --quiet --package caly -- demo $(ARGS)

run: need ## Build and serve; settings come from the environment (README.md)
	$(CARGO) run --release --package caly -- serve $(ARGS)

test: need models ## All tests, on SQLite, and on a PostgreSQL and a Redis of their own
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		set -x; scripts/with-postgres scripts/with-redis $(CARGO) nextest run --workspace $(ARGS); \
	else \
		set -x; scripts/with-postgres scripts/with-redis $(CARGO) test --workspace --lib --bins --tests $(ARGS); \
	fi
	$(CARGO) test --quiet --workspace --doc

chaos: need ## kill -9 under calls, again and again, on both databases; nothing may be lost (KILLS=300 SEED=1)
	@set -x; for database in sqlite postgres; do \
		CALY_CHAOS_KILLS=$(KILLS) CALY_CHAOS_SEED=$(SEED) scripts/with-postgres $(CARGO) test --release --package caly --test chaos -- --nocapture nothing_is_lost_by_kill_9::$$database; \
	done

check: need ## Formatting, lints, house rules, licences: what a change must pass besides the tests
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) xtask tidy
	@if command -v cargo-deny >/dev/null 2>&1; then \
		set -x; $(CARGO) deny check licenses bans sources; \
	else \
		echo "caly: cargo-deny is not installed; licences and bans were not checked (cargo install --locked cargo-deny)"; \
	fi

bench: need models ## Measure a node from outside, about nine minutes: table and plot in target/bench (ARGS="--help" lists options)
	$(CARGO) run --release --quiet --package caly -- bench $(or $(ARGS),--suite)

models: ## Fetch the built-in speech models; does nothing when they are there
	scripts/fetch-models

clean-demo: ## Delete what the demo left behind: its data and its report, not the models
	rm -rf -- data/demo demo.json

# Not for the list: says in one sentence what a fresh machine lacks.
need:
	@lacking=(); \
	command -v "$(firstword $(CARGO))" >/dev/null 2>&1 || lacking+=("cargo: install Rust from https://rustup.rs; rust-toolchain.toml chooses the version"); \
	command -v python3 >/dev/null 2>&1 || lacking+=("python3: install Python 3.10 or newer with pip (apt-get install python3 python3-pip); it fetches the speech models"); \
	command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || lacking+=("gcc: install a C compiler (apt-get install gcc libc6-dev); SQLite and the TLS library are built with it"); \
	if [ "$${#lacking[@]}" -gt 0 ]; then printf 'caly: this machine lacks %s\n' "$${lacking[@]}" >&2; exit 1; fi
