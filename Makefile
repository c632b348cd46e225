# What there is to do; `make` alone lists it.
SHELL := bash
# What is done to a World in a container is written in `.ops/world`, which reads these. A World beside the first has a
# name, in every command: make up WORLD=second ENGINE_PORT=7879, make backup WORLD=second, ...
export WORLD FROM BACKUPS YES ENGINE_PORT ENGINE_TELNET_PORT ENGINE_WEB_PORT
# Those of `tests/mutants.sh`.
export COUNT SEED ONLY BASE
# Fuzzing and sanitizers need a nightly cargo; where there is none, a stable one that takes nightly's flags.
NIGHTLY = $(shell if rustup toolchain list 2>/dev/null | grep -q ^nightly; \
	then echo cargo +nightly; else echo env RUSTC_BOOTSTRAP=1 cargo; fi)
FUZZ_SECONDS ?= 600
SOAK_SECONDS ?= 600
KILL_ROUNDS ?= 1000
.DEFAULT_GOAL := help
.PHONY: help run test soak fuzz sanitize mutants bench pages docker up down logs smoke backup restore reset audit

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build and run the World here, without Docker; its database: storage.sqlite; Ctrl-C ends it
	cargo run --release --locked

test: ## format, clippy and all tests, without Docker
	cargo fmt --all -- --check
	cargo clippy --locked --all-targets --all-features -- -D warnings
	cargo test --locked

soak: ## kill the engine, and the writer, KILL_ROUNDS=1000 times, then simulate new lives for SOAK_SECONDS=600
	KILL_ROUNDS=$(KILL_ROUNDS) cargo test --locked --release --test engine -- killed_at_any_moment --nocapture
	# Anew each half minute: a process that is killed in a simulation leaves its files open in this one.
	end=$$((SECONDS + $(SOAK_SECONDS))); while [ $$SECONDS -lt $$end ]; do SIMULATION_SECONDS=30 \
	  cargo test --locked --release --test proof -- whatever_happens --nocapture || exit; done

fuzz: ## try invented requests, world files, databases, frames of the wire, headers of proxies, telnet, WebSocket, commands, each for FUZZ_SECONDS=600
	@command -v cargo-fuzz >/dev/null || { echo 'cargo-fuzz is missing: cargo install cargo-fuzz' >&2; exit 2; }
	CARGO='$(NIGHTLY)' tests/fuzz/run.sh $(FUZZ_SECONDS)

sanitize: ## all tests under AddressSanitizer, and the engine itself under valgrind
	CARGO='$(NIGHTLY)' tests/sanitize.sh

mutants: ## change src in COUNT=20 random places (by SEED), or where it differs from BASE, and see what no test notices
	tests/mutants.sh

bench: ## measure against yardsticks, for a quarter of an hour; some of it: make bench ONLY="flush tick"
	@cargo bench --locked --bench bench -- $(ONLY)

pages: ## take pictures of the pages in a browser, into target/pages, to be looked at
	cargo build --locked
	@AQEVIA_ENGINE=target/debug/aqevia-engine AQEVIA_PAGES=target/pages node tests/browser/run.mjs pages && ls -d target/pages/*

docker: ## build the image aqevia-engine:dev
	docker build -t aqevia-engine:dev .

up: ## build and start the World in a container, until it answers; a second one: WORLD=second ENGINE_PORT=7879
	@.ops/world up

down: ## stop the World and remove its container; its volume stays
	@.ops/world down

logs: ## follow the World's log; Ctrl-C ends the following, not the World
	@.ops/world logs

smoke: ## try images and operations in containers of its own; they are gone afterwards
	tests/docker/smoke.sh

backup: ## copy the World into backups/ while it runs, and check the copy
	@.ops/world backup

restore: ## put a backup in the World's place: make restore FROM=backups/...; asks first, YES=1 does not
	@.ops/world restore

reset: ## forget the World and found a new one; asks first, YES=1 does not
	@.ops/world reset

audit: ## what an auditor asks for first: dependencies, lines, unsafe, limits
	@echo '== Direct dependencies'; cargo tree --locked --depth 1
	@echo; echo '== All dependencies, with licences'; cargo tree --locked --format '{p} {l}'
	@echo; echo '== Lines, blank ones aside'
	@find src -name '*.rs' | LC_ALL=C sort | xargs awk ' \
	  BEGIN { printf "%7s %8s %7s\n", "code", "comments", "tests" } \
	  FNR == 1 { file[++files] = FILENAME; tests = 0 } \
	  /^#\[cfg\(test\)\]/ { tests = 1 } \
	  NF { kind = tests ? 3 : $$1 ~ "^//" ? 2 : 1; lines[FILENAME, kind]++; lines["total", kind]++ } \
	  END { file[++files] = "total"; for (f = 1; f <= files; f++) \
	    printf "%7d %8d %7d  %s\n", lines[file[f], 1], lines[file[f], 2], lines[file[f], 3], file[f] }'
	@echo; echo '== Every unsafe, with its reason'
	@find src -name '*.rs' | LC_ALL=C sort | xargs awk ' \
	  /SAFETY:/ { shown = 1 } \
	  /unsafe( *{| fn| impl| extern)/ && $$1 !~ "^//" { open = 1; count++; if (!shown) print "NO REASON GIVEN:" } \
	  shown || open { print FILENAME ":" FNR ":" $$0 } \
	  open { depth += gsub(/{/, "{") - gsub(/}/, "}"); if (depth <= 0) shown = open = depth = 0 } \
	  END { print count + 0, "in all" }'
	@echo; echo '== Every limit'; grep -E '^(// |/// |pub const )' src/limits.rs
