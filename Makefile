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

# TensorFlow gets an environment of its own over .venv: TensorBoard would load it at every start.
bench: $(READY)  ## against librosa, matplotlib and Keras
	$(PYTHON) -m venv .venv-bench
	$(BIN)/python -c "import site; print(site.getsitepackages()[0])" > \
		$$(.venv-bench/bin/python -c "import site; print(site.getsitepackages()[0])")/over.pth
	.venv-bench/bin/python -m pip install --quiet --editable ".[bench]"
	.venv-bench/bin/python -m benchmarks

clean-cache:  ## decoded music, pictures and features; they are made again when needed
	rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/genre"
