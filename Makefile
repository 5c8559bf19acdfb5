# make demo    installs what the demo needs into .venv and runs a small threshold sweep
# make test    installs what the tests need and runs them all
# TORCH_INDEX  where pip finds a CPU build of torch, for the extras that want it (see README)

PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: demo test lint types wheel check clean

.venv: .venv/.demo-ready

.venv/.demo-ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "quell needs Python >= 3.11; name one with make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP_INSTALL) -e '.[plots]'
	touch $@

.venv/.test-ready: .venv/.demo-ready
	$(PIP_INSTALL) -e '.[plots,notebooks,mitigation,m3,training,rare,true-t,cluster,ldpc,search,predecoder,dev]'
	touch $@

demo: .venv
	$(BIN)/quell demo

# On two cores at once, with a thread each, and then one by one what starts processes, stops them, or looks at the clock.
test: .venv/.test-ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not alone" -n 2 --dist loadfile
	$(BIN)/python -m pytest -m alone

lint: .venv/.test-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.test-ready
	$(BIN)/mypy

# The wheel and the sdist, and then the wheel in an environment of its own, used from an empty folder.
wheel: .venv/.test-ready
	rm -rf dist
	$(BIN)/python -m build --quiet .
	.ci/try-wheel $(PYTHON)

check: test lint types wheel

clean:
	rm -rf .venv build dist quell-demo src/*.egg-info .mypy_cache .pytest_cache .ruff_cache
