# make demo and make test are all a newcomer needs; each sets up .venv first and re-uses it while pyproject.toml stands.
PYTHON ?= python3
BIN = .venv/bin
READY = .venv/.ready

.PHONY: setup demo test test-slow lint bench clean-cache

setup: $(READY)

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $(READY)

demo: $(READY)  ## train on the synthetic set
	$(BIN)/python train.py data=synthetic trainer.max_epochs=30

test: $(READY)
	$(BIN)/python -m pytest -m "not slow and not gpu"

test-slow: $(READY)
	$(BIN)/python -m pytest -m "slow and not gpu"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)  ## against librosa, matplotlib and Keras; installs tensorflow-cpu
	$(BIN)/python -m pip install --quiet --editable ".[dev,bench]"
	$(BIN)/python -m benchmarks

clean-cache:  ## decoded music, pictures and features; they are made again when needed
	rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/genre"
