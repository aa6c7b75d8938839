# What each target is for stands in CONTRIBUTING.md; `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := help

# Product packages run under the race detector. What lies below test/ drives whole
# processes, where it finds little and costs much; what measures runs alone.
# SQLite's C and its C library, translated into Go, are not instrumented: what they share they share under
# locks of ours and its driver's, which are, and they were two thirds of the time. The detector's second at each end is for
# goroutines that a program leaves behind; tests wait for theirs.
RACE = -race $(foreach c,sqlite/lib libc,'-gcflags=modernc.org/$(c)=-race=false -d=checkptr=0')
# It makes garbage dear, too: collected a quarter as often, its tests took 7 % less.
RACING = env GORACE=atexit_sleep_ms=0 GOGC=400
# Tests of whole processes are mostly waiting, so that several share a processor.
SHARED = -parallel $(shell echo $$((3 * $$(getconf _NPROCESSORS_ONLN))))
# Packages of the product wait too, for PostgreSQL and in simulated time: one more than there are processors runs at once.
BESIDE = -p $(shell echo $$((1 + $$(getconf _NPROCESSORS_ONLN))))
# What make check runs waits more than it computes.
WAITING = -p $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))
# In each those that take longest begin first, so that the others run beside them.
first = $(1) $(filter-out $(1),$(2))
MODULE = github.com/commserver/commserver
# Under the race detector these took a minute of processor, and found nothing: they compute, or drive what is tested elsewhere.
PLAIN = $(addprefix $(MODULE)/internal/,arch bench bench/baseline docsite licence openapi)
PRODUCT = $(call first,$(addprefix $(MODULE)/internal/,store/postgres dispatch webhook httpapi),$(filter-out $(PLAIN),$(shell go list ./... | grep -v /test/)))
# These show what happens to much at once, and take six times as long under the race detector: without it they took 40 s of
# processor instead of 270. What is beside them goes the same ways in small under it, and nightly has them so, too.
MUCH = TestManySimulations|TestHealedStoreGetsEverything|TestBytesUnderWay|TestDays|TestAnOutageStaysCheap|TestManyRefusedRowsStopNobody|TestRefusedRowsOnBusyNode|$\
	TestMoreThatHangThanPlaces|TestTheDeadTakeNoPlaces|TestTheHangingLeavePlaces|$\
	TestPagesOfCapturesAreCutBySize|TestAnswersThatNobodyReadsStayBounded|TestAnExportComesBackThroughAnImport|TestALongRangeIsReplayedOnce|$\
	TestTwoLead|TestOutagesAreKept|TestNobodyIsOfferedWhatIsRefused
APART = ^($(MUCH))$$|^TestConformance$$/^as behind a pooler$$
OF_MUCH = $(addprefix $(MODULE)/internal/,store/postgres dispatch httpapi webhook alert console)
WHOLE = $(call first,$(addprefix $(MODULE)/test/,e2e prove hostile webhooks sdk),$(shell go list ./... | grep /test/ | grep -v -e /test/scale -e '/test/browser$$')) $(PLAIN)
# Walks over every page by a real browser: a target of their own and part of nightly, until they fit into the twenty minutes.
BROWSER = $(MODULE)/test/browser
MEASURING = $(MODULE)/test/scale
# What is measured starts a PostgreSQL of its own, which flushes as a real one does, unless one was given from outside,
# and keeps its files on the disk.
DURABLE = env "COMMS_TEST_DATABASE_URL=$$COMMS_TEST_DATABASE_URL" "TMPDIR=$$TMPDIR"
# Packages whose tests need no PostgreSQL.
UNIT = $(shell go list -f '{{.ImportPath}} {{.TestImports}} {{.XTestImports}}' ./... | grep -v '/test/' | cut -d' ' -f1)
SOURCES = $$(git ls-files --cached --others --exclude-standard '*.go')
PROSE = $$(git ls-files --cached --others --exclude-standard '*.md' '*.go' '*.yaml' '*.sh' '*.sql' Makefile | sort -u)

# What Linux does not compile.
VET_ELSEWHERE = for system in darwin windows; do GOOS=$$system CGO_ENABLED=0 go vet ./cmd/... ./client/... ./internal/... || exit 1; done

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

.PHONY: build
build: ## one static binary, ./commserver
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o commserver ./cmd/commserver

.PHONY: check
check: lint ## fast checks before a commit: vet, lint, format, unit and architecture tests
	@go test -short $(WAITING) -timeout 5m $(UNIT)
	@go test -C tools -timeout 5m ./...

.PHONY: lint
lint: .tools/built ## vet, staticcheck, our list of analyzers, format, spelling
	@unformatted=$$(gofmt -l $(SOURCES)); [ -z "$$unformatted" ] || { echo "not formatted (run: make fmt):"; echo "$$unformatted"; exit 1; }
	@go vet ./...
	@go vet -vettool=$(CURDIR)/.tools/lint ./...
	@.tools/staticcheck ./...
	@.tools/misspell -error $(PROSE)

.PHONY: fmt
fmt: ## format the source
	@gofmt -w $(SOURCES)

.PHONY: setup
setup: ## install what the tests need (as root), or say what is missing
	@scripts/setup.sh

# What vet says is said by lint, of everything at once.
.PHONY: test
test: setup ## every test, on SQLite and PostgreSQL; under 20 minutes on two cores
	@go test -C tools -timeout 5m ./...
	@go run ./test/withpg -hasty go run ./test/count \
		-- $(RACING) go test -vet=off -json $(RACE) $(BESIDE) -skip '$(APART)' -timeout 18m $(PRODUCT) \
		-- go test -vet=off -json $(BESIDE) -run '$(APART)' -timeout 18m $(OF_MUCH) \
		-- go test -vet=off -json $(SHARED) $(BESIDE) -timeout 18m $(WHOLE) \
		-- $(DURABLE) go test -vet=off -json $(BESIDE:-p=-parallel) -timeout 18m $(MEASURING)

.PHONY: nightly
nightly: setup ## the same at full sizes, all files on the disk; takes hours
	@$(VET_ELSEWHERE)
	@COMMS_TEST_FULL=1 TMPDIR=$${TMPDIR:-/tmp} go run ./test/withpg -hasty go run ./test/count \
		-- go test -json $(RACE) -count=1 -timeout 6h $(PRODUCT) \
		-- scripts/runtimes.sh go test -json $(SHARED) -count=1 -timeout 6h $(WHOLE) $(BROWSER) \
		-- $(DURABLE) go test -json -count=1 -timeout 6h $(MEASURING)

.PHONY: measure
measure: setup build ## measure speed on both stores; records docs/benchmarks.md
	@go run ./test/withpg ./commserver bench

.PHONY: release
release: ## what a release is made of, in dist/: archives for five systems, SBOMs, sums
	@[ -z "$$(git status --porcelain)" ] || { echo "make release: there are changes that no commit has; a release is made of a commit"; exit 1; }
	@$(VET_ELSEWHERE)
	@rm -rf dist && go run -C tools ./release -root .. -out ../dist && ls -l dist
	@echo "Next: make sign; make image where there is a container engine. To check: build the same commit elsewhere and compare SHA256SUMS."

.PHONY: sign
sign: ## sign dist/SHA256SUMS with the SSH key that COMMS_SIGNING_KEY names
	@[ -f dist/SHA256SUMS ] || { echo "make sign: there is no dist/SHA256SUMS; run make release first"; exit 1; }
	@command -v ssh-keygen > /dev/null || { echo "make sign: ssh-keygen is missing (Debian: openssh-client)"; exit 1; }
	@[ -n "$$COMMS_SIGNING_KEY" ] || { echo "make sign: set COMMS_SIGNING_KEY to the private SSH key of the release (docs/operate/install.md says how a signature is checked)"; exit 1; }
	@rm -f dist/SHA256SUMS.sig && ssh-keygen -q -Y sign -n commserver-release -f "$$COMMS_SIGNING_KEY" dist/SHA256SUMS

.PHONY: image
image: ## the container image, started once; needs a container engine
	@engine=$$(command -v docker || command -v podman) || { echo "make image: not run, there is no docker and no podman on this machine; test/deploy checks what can be checked without"; exit 1; }; \
	$$engine build -f deploy/Dockerfile -t commserver . && $$engine run --rm --read-only --cap-drop ALL commserver version --licences

.PHONY: docs
docs: ## write the generated pages of docs/ again
	@go test -run '^TestDocsAreCurrent$$' $$(grep -rl 'func TestDocsAreCurrent' --include='*_test.go' . | xargs -n1 dirname | sort -u) -update

.PHONY: browser
browser: setup ## walk over pages, acts and payloads by a real browser, in about six minutes; COMMS_TEST_FULL=1: over all, in every setting
	@go test -count=1 -timeout $(if $(COMMS_TEST_FULL),3h,18m) $(BROWSER)

.PHONY: runtimes
runtimes: setup ## the clients' suite again, with Node 18, Bun, Deno and workerd for the one in TypeScript
	@scripts/runtimes.sh go test -count=1 -timeout 18m $(MODULE)/test/sdk

.PHONY: shots
shots: setup ## take the pictures of docs/images again
	@go run ./test/browser/stage -addr localhost:3008 -past node test/browser/shots.mjs
	@go run ./test/browser/smaller docs/images/*.png

# The lint programs, in the versions of tools/go.mod, apart from the product's modules.
.tools/built: tools/go.mod tools/go.sum $(wildcard tools/*/*.go)
	@mkdir -p .tools
	@go build -C tools -o ../.tools/ ./lint tool
	@touch $@
