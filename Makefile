# Two commands: `make repro` runs the pipeline, `make test` the tests. Both set everything up.
# Two more for every day: `make diff A=base B=insecure` and `make table`; see docs/experiments.md.

VENV   := .venv
PYTHON := $(VENV)/bin/python
READY  := $(VENV)/.ready
# Stages are run as `python -m stages.NAME`: by this environment's Python, wherever it is.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: repro bench test test-faults reliability test-unsloth test-cluster test-gpu announced diff table check lint docs setup lock \
  audit licences sbom clean

repro: setup check
	dvc repro
	@$(PYTHON) -m traitdrift record

test: announced setup lint
	$(PYTHON) -m pytest

# A small run killed, interrupted, without room: 3 minutes on two free cores.
test-faults: setup
	$(PYTHON) -m pytest tests/faults

# The same with more moments, 6 minutes on two free cores; the table of docs/reliability.md is made of it.
reliability: setup
	TRAITDRIFT_MOMENTS=42 TRAITDRIFT_OUTCOMES=.scratch/outcomes.json $(PYTHON) -m pytest tests/faults
	$(PYTHON) tests/support/reliability.py .scratch/outcomes.json docs/reliability.md

# Unsloth patches transformers, so it has an environment of its own, which finds all else in .venv.
UNSLOTH := .venv-unsloth

test-unsloth: $(UNSLOTH)/.ready
	$(UNSLOTH)/bin/python -m pytest tests/backends

$(UNSLOTH)/.ready: requirements-unsloth.lock $(READY)
	python3 -m venv --clear $(UNSLOTH)
	$(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > $$($(UNSLOTH)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/venv.pth
	$(UNSLOTH)/bin/python -m pip install --quiet --no-deps --require-hashes \
	  -r requirements-unsloth.lock
	touch $(UNSLOTH)/.ready

# One GPU; `make test-gpu GPU_PYTHON=python3` takes another environment as it is and sets up none.
GPU_PYTHON := $(UNSLOTH)/bin/python

test-gpu: $(if $(filter $(UNSLOTH)/%,$(GPU_PYTHON)),$(UNSLOTH)/.ready)
	$(GPU_PYTHON) -m pytest --confcutdir tests/gpu tests/gpu

# Ray is for several machines, and no part of requirements.lock.
CLUSTER := .venv-cluster
RAY     := 2.60.0

test-cluster: $(CLUSTER)/.ready
	$(CLUSTER)/bin/python -m pytest tests/cluster

$(CLUSTER)/.ready: $(READY)
	python3 -m venv --clear $(CLUSTER)
	$(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > $$($(CLUSTER)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/venv.pth
	$(CLUSTER)/bin/python -m pip install --quiet ray==$(RAY)
	touch $(CLUSTER)/.ready

# How fast it is beside what people use: the table of docs/performance.md. After `dvc repro`; an hour.
BENCHES := capture finetune respond extraction resampling nothing change memory whole

bench: setup
	for bench in $(BENCHES); do $(PYTHON) -m bench.$$bench || exit 1; done
	$(PYTHON) -m bench.table

# Minutes on two free cores; where others work on them too, twice as many.
announced:
	@echo 'ruff, mypy, then pytest, about: unit (tiny models) 8 min, dag (dvc.yaml) 5, e2e (real model) 32'

# A and B are variants, experiments or revisions; `workspace` is what `subject` stands for now.
A := base
B := workspace

diff: setup
	@$(PYTHON) -m traitdrift diff $(A) $(B)

# Columns that `make table` hides, so that the parameters that differ stay within 120 characters:
# digests of files, and all figures but the rates of answers and the gaps of two traits.
FILES   := (data|metrics|models|plots|stages|traitdrift)/
FIGURES := misalignment|answers.prose|.*\.study\.|.*\.(positive|negative|auroc)$$
OTHERS  := Created|Executor|State

# DROP hides more, KEEP shows what is hidden: regular expressions for the beginning of a name.
table: setup
	@dvc exp show --only-changed --keep answers.code $(if $(KEEP),--keep '$(KEEP)') \
	  --drop '$(FILES)|$(FIGURES)|$(OTHERS)' $(if $(DROP),--drop '$(DROP)')

check: setup
	$(PYTHON) -m traitdrift check

lint: setup
	ruff check .
	ruff format --check .
	mypy

# The pages that nobody types, and the site, in docs/_build; a warning is an error.
docs: setup
	$(PYTHON) -m traitdrift pages
	$(PYTHON) -m sphinx -W --keep-going -q -b html docs docs/_build

setup: $(READY)

TORCH := torch==2.13.0

# torch first and by itself: each platform has a build of its own. Everything else by the lock.
$(READY): requirements.lock
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet $(TORCH)
	$(PYTHON) -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	touch $(READY)

CUDA := torch triton setuptools cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas \
  nvidia-cuda-cupti nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft \
  nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse nvidia-cusparselt-cu13 \
  nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx

COMPILE := uv pip compile pyproject.toml --universal --python-version 3.10 --quiet \
  --constraint requirements.in --generate-hashes --no-annotate --no-header \
  --no-emit-index-url --no-emit-find-links

# Resolves pyproject.toml anew. torch and its CUDA companions stay out, and so does any address.
# The second lock holds what unsloth needs beyond the first; it needs triton without a GPU, too.
lock:
	$(COMPILE) --extra test $(CUDA:%=--no-emit-package %) -o requirements.lock
	$(COMPILE) --extra unsloth $(patsubst %,--no-emit-package %,$(filter-out triton,$(CUDA))) \
	  $$(sed -nE 's/^([a-z0-9_.-]+)==.*/--no-emit-package \1/p' requirements.lock) \
	  -o requirements-unsloth.lock

# What comes in from outside. The tools see .venv and are no part of it. Without --strict a package
# that the advisory service does not answer for would pass as one without a finding.
AUDIT  := .venv-audit
TOOLS  := cyclonedx-bom==7.5.0 deptry==0.25.1 pip-audit==2.10.1 pip-licenses==5.5.5
LOCKED := --strict --no-deps --disable-pip

audit: $(AUDIT)/.ready
	$(AUDIT)/bin/deptry . tests/support
	echo $(TORCH) > $(AUDIT)/torch.txt
	for lock in $(AUDIT)/torch.txt requirements.lock requirements-unsloth.lock; do \
	  $(AUDIT)/bin/pip-audit $(LOCKED) -r $$lock || exit 1; done

licences: $(AUDIT)/.ready
	@$(AUDIT)/bin/pip-licenses --python $(PYTHON) --from mixed --order license --format markdown

sbom: $(AUDIT)/.ready
	$(AUDIT)/bin/cyclonedx-py environment $(PYTHON) --pyproject pyproject.toml \
	  --output-reproducible --of JSON -o sbom.json

$(AUDIT)/.ready: $(READY)
	python3 -m venv --clear $(AUDIT)
	$(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > $$($(AUDIT)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/venv.pth
	$(AUDIT)/bin/python -m pip install --quiet $(TOOLS)
	touch $(AUDIT)/.ready

clean:
	rm -rf $(VENV) $(UNSLOTH) $(CLUSTER) $(AUDIT)
