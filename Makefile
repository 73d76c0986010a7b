# Targets that people type carry a ## comment, which `make help` prints.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# What npm ci leaves behind, and what the page's build does.
MODULES := react/node_modules/.package-lock.json
PAGE := react/demo/dist/index.html
PAGE_SOURCES := $(shell find react/src react/demo react/*.json react/vite.config.ts -path react/demo/dist -prune -o -type f -print 2>/dev/null)

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## two Postgres servers, live traffic and the page on http://127.0.0.1:7070
	@exec bin/pgrelay demo

.PHONY: build
build: $(PAGE) ## bin/pgrelay with the page in it
	go build -o bin/pgrelay ./cmd/pgrelay

.PHONY: test
test: tools build ## everything: vet, Go tests under the race detector, TypeScript checks, the page in Chromium
	cd react && npm run lint && npm run typecheck && npm test
	go vet ./...
	go test -timeout 15m -race ./...
	cd react && npm run test:e2e

.PHONY: lint
lint: $(MODULES) ## golangci-lint with the import directions, and Biome
	go run $(GOLANGCI) run ./...
	cd react && npm run lint

.PHONY: bench
bench: tools build ## figures beside what this machine allows, and the benchmarks beside the code
	go test -run '^$$' -bench . -benchmem -benchtime 200ms ./relay/hub ./relay/journal ./relay/predicate ./relay/rule ./relay/value ./relay/wal
	go test -run '^$$' -bench . -benchmem -timeout 30m ./relay/ws
	bin/pgrelay bench

# How much the long comparisons do; the short ones are part of `make test`.
oracle: export PGRELAY_VALUES ?= 50000
oracle: export PGRELAY_ORACLE_SECONDS ?= 600
oracle: export PGRELAY_PREDICATES ?= 200000
oracle: export PGRELAY_SOAK_CHANGES ?= 10000000

.PHONY: oracle
oracle: $(PAGE) ## long comparisons with Postgres: encoded values, predicates, mirrored tables; ten million changes by triggers
	go test -count=1 -v -timeout 60m -run Oracle ./relay/value
	go test -count=1 -v -timeout 60m -run 'Oracle|Input|Params' ./relay/predicate
	go test -count=1 -v -timeout 60m ./relay/oracle
	go test -count=1 -timeout 30m ./relay/serve
	go test -count=1 -v -timeout 4h -run Soak ./cmd/pgrelay

$(MODULES): react/package.json react/package-lock.json
	cd react && npm ci --no-audit --no-fund
	@touch $@

$(PAGE): $(MODULES) $(PAGE_SOURCES)
	cd react && npm run build
	@touch $@

# Debian's programs that tests drive: a browser, a pooler, and Postgres 15 with the client programs that the npm package lacks.
.PHONY: tools
tools:
	@missing=; \
	command -v chromium >/dev/null || missing=chromium; \
	[ -x /usr/sbin/pgbouncer ] || command -v pgbouncer >/dev/null || missing="$$missing pgbouncer"; \
	for tool in postgres psql pgbench pg_recvlogical; do \
	  [ -x /usr/lib/postgresql/15/bin/$$tool ] || { missing="$$missing postgresql-15"; break; }; \
	done; \
	[ -z "$$missing" ] && exit; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else \
	  echo "the tests need programs that are missing here; type: sudo apt-get install --no-install-recommends $$missing" >&2; exit 1; \
	fi
