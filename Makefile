# make track: set up, then track the target of the bundled clip.   make test: set up, then check and test.
# make fuzz SEED=0: 500 damaged inputs and 20 kills of each verb, some twenty minutes.
# make wheel: the package as a user of pip gets it.   make format: what can be mended by machine.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

SEED ?= 0

.PHONY: track test check fuzz format wheel clean

track: $(STAMP)
	$(BIN)/lockon demo --out lockon-results

test: check
	OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest  # beside other work, waiting threads give way

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fuzz: $(STAMP)
	$(BIN)/python -m tests.fuzz --seed $(SEED)

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# builds the wheel and tracks from it alone: an empty environment, no source tree
wheel:
	rm -rf build dist && $(PYTHON) -m venv build/env
	build/env/bin/pip wheel --quiet --no-deps --wheel-dir dist .
	build/env/bin/pip install --quiet --constraint constraints.txt torch
	build/env/bin/pip install --quiet --constraint constraints.txt dist/*.whl
	cd build && env/bin/lockon demo --out demo && env/bin/lockon models

# vot-toolkit brings opencv-python, which writes over the headless one and needs a desktop's libraries: back again
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps --force-reinstall opencv-python-headless
	touch $@

clean:
	rm -rf $(VENV) build dist
