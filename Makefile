# Development tasks; `make` lists them. `make venv` is what every other target needs first.

PYTHON ?= python3
TEST_WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
NATIVE := $(foreach kind,h cpp cuh cu,$(wildcard csrc/*.$(kind) csrc/*/*.$(kind)))
DRIVERS := $(wildcard tests/native/*.cpp $(foreach kind,h cpp cuh, \
  tests/emulator/*.$(kind) tests/emulator/*/*.$(kind)))

# With several test workers each keeps to one OpenMP thread, or they slow each other down.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -p no:benchmark -n $(TEST_WORKERS)

.DEFAULT_GOAL := help
.PHONY: help venv test test-slow lint format bench static demo docs check-install clean

help:  ## Show this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

venv: $(INSTALLED)  ## Make the environment .venv and build fastpty into it

$(INSTALLED): pyproject.toml setup.py setup_cuda.py constraints.txt $(NATIVE)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	touch $@

test: venv  ## Run the fast tests
	$(PYTEST)

test-slow: venv  ## Run the slow tests; some need measured data, see CONTRIBUTING.md
	$(PYTEST) -m slow --dist loadfile --durations=10

lint: venv  ## Check style, types and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/clang-format --dry-run -Werror $(NATIVE) $(DRIVERS)
	$(BIN)/mypy

format: venv  ## Rewrite the sources in the style that lint checks
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(NATIVE) $(DRIVERS)

bench: venv  ## Time operations and iterations against pure torch
	$(BIN)/python -m pytest bench -p no:xdist --benchmark-only \
	  -o python_files='bench_*.py' -o python_functions='bench_*'
	$(BIN)/python -m bench.iteration.memory

static: venv  ## Count what nvcc made of the CUDA kernels, and refuse spills; needs no GPU
	$(BIN)/python -m bench.static

demo: venv  ## Simulate SrTiO3, reconstruct it, draw the figures (about 3 minutes)
	mkdir -p output/demo
	$(BIN)/fastpty simulate configs/demo_simulate.yaml -o output/demo/demo.h5 --overwrite
	$(BIN)/fastpty recon configs/demo.yaml --overwrite

docs: venv  ## Build the documentation into site/; refuses links and names that lead nowhere
	$(BIN)/python -m pytest -p no:benchmark tests/test_docs.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The wheel is built from the sdist, for $(PYTHON), which may be another version than that of .venv.
# The tests run outside the checkout, so that only what was installed can be imported.
check-install: venv  ## Build sdist and wheel, and test the wheel in a fresh environment
	set -e; work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	$(BIN)/python -m build --sdist --outdir "$$work/dist" .; \
	$(PYTHON) -m venv "$$work/venv"; \
	python="$$work/venv/bin/python"; \
	"$$python" -m pip wheel --no-deps --wheel-dir "$$work/dist" "$$work"/dist/*.tar.gz; \
	wheel=$$(echo "$$work"/dist/*.whl); \
	"$$python" -m pip install -c constraints.txt "$$wheel[dev]"; \
	mkdir "$$work/elsewhere"; \
	cp -R tests configs docs pyproject.toml "$$work/elsewhere"; \
	cd "$$work/elsewhere"; \
	OMP_NUM_THREADS=1 "$$python" -m pytest -p no:benchmark -n $(TEST_WORKERS)

clean:  ## Remove everything that was built, the environment included
	rm -rf $(VENV) build dist site *.egg-info fastpty/_core.*.so \
	  .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find fastpty tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
