# make demo and make test set up .venv first, and again whenever pyproject.toml changes.
PYTHON ?= python3
BIN = .venv/bin
READY = .venv/.ready

.PHONY: setup demo test test-slow lint bench document clean-cache

setup: $(READY)

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $(READY)

demo: $(READY)  ## train on the synthetic set
	$(BIN)/python train.py data=synthetic trainer.max_epochs=30

test: $(READY)
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow and not gpu"

test-slow: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile --timeout 1200 --durations 15 -m "slow and not gpu"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# TensorFlow has an environment of its own on top of .venv: in .venv, TensorBoard would import it at every start.
bench: $(READY)  ## against librosa, matplotlib and Keras
	$(PYTHON) -m venv .venv-bench
	$(BIN)/python -c "import site; print(site.getsitepackages()[0])" > \
		$$(.venv-bench/bin/python -c "import site; print(site.getsitepackages()[0])")/over.pth
	.venv-bench/bin/python -m pip install --quiet --editable ".[bench]"
	.venv-bench/bin/python -m benchmarks

# The paper's four models, from data to table and figures. An interrupted `make document` resumes.
#   make document DATA=gtzan_logmel.npz WEIGHTS=vgg16.safetensors TWO_GENRES=two_genres.csv SEEDS="0 1 2"
# DATA: an archive (.npz) or GTZAN's folder. TWO_GENRES: a CSV of tracks with two genres, which are held out.
DOCUMENT = outputs/document
SEEDS ?= 0
MUSIC = $(if $(filter %.npz,$(DATA)),data=logmel "data.path=$(DATA)",data=gtzan "data.root=$(DATA)")
define train  # name, further overrides
	@for seed in $(SEEDS); do run="$(DOCUMENT)/$(1)-$$seed"; \
		if [ -f "$$run/metrics.json" ]; then echo "$$run is finished"; \
		elif [ -f "$$run/hparams.yaml" ]; then $(BIN)/python train.py resume="$$run" || exit 1; \
		else $(BIN)/python train.py experiment=document/$(1) $(MUSIC) seed=$$seed hydra.run.dir="$$run" $(2) || exit 1; \
		fi; done
endef

document: $(READY)  ## the paper's results: table and figures
	@[ -n "$(DATA)" ] && [ -n "$(WEIGHTS)" ] && [ -n "$(TWO_GENRES)" ] || \
		{ echo "error: make document needs DATA=, WEIGHTS= and TWO_GENRES= (see the Makefile)" >&2; exit 1; }
	$(BIN)/python explore.py $(MUSIC) pictures=false hydra.run.dir=$(DOCUMENT)/explore
	$(call train,base)
	$(call train,tuned)
	$(call train,vgg16,"model.weights=$(WEIGHTS)")
	$(call train,multigenre,"model.weights=$(WEIGHTS)" "split.hold_out=$(TWO_GENRES)")
	$(BIN)/python evaluate.py "runs=$(DOCUMENT)/*-*" hydra.run.dir=$(DOCUMENT)/table

clean-cache: $(READY)  ## decoded music, pictures and features; the next run computes them again (CACHE=: data.cache)
	$(BIN)/python -m genre.cache all=true $(if $(CACHE),"data.cache=$(CACHE)")
