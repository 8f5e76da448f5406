# make demo    install, run the demo, write its report
# make test    install, run every check
# make test-slurm   install, run on a Slurm that is brought up for it
# make bench   install, measure everything
# PYTHON=...   the Python to install with (3.11 or newer); CONFIG=... the run of `make report`

CONFIG ?= config/config.yaml
CORES ?= all
WORKERS ?= 2
BENCH ?= rays queries crossmatch devices scale original
PYTHON ?=
export PYTHON

IN_VENV := PATH="$(CURDIR)/.venv/bin:$$PATH"

.DEFAULT_GOAL := help
.PHONY: help venv demo report unlock data test test-slow test-slurm bench bench-nifty lint docs-config clean

help:
	@echo "make demo                  install, run the demo, write its report"
	@echo "make report CONFIG=FILE    the same for another configuration"
	@echo "make unlock CONFIG=FILE    after a run was killed and Snakemake says so"
	@echo "make data                  fill data/ with the real catalogues"
	@echo "make test                  every check; make test-slow: the long ones"
	@echo "make test-slurm            runs on a Slurm of three nodes here (root and apt needed)"
	@echo "make lint                  style and types only"
	@echo "make bench                 every benchmark; BENCH=\"rays queries\": some of them"
	@echo "make bench-nifty RUN=DIR   NIFTy.re (GPL, installed for this) on the stars of a run"
	@echo "make docs-config           write config/README.md from the models"
	@echo "make clean                 remove .venv and caches; results and data stay"

venv:
	@sh .ci/venv

demo: report

# Snakemake meets a file it cannot read with a traceback: look at it first
checked = $(IN_VENV) dust3d check "$(CONFIG)" >/dev/null

report: venv
	@$(checked)
	@$(IN_VENV) snakemake --cores $(CORES) --configfile $(CONFIG)
	@$(IN_VENV) snakemake --configfile $(CONFIG) \
		--report "results/$$(.venv/bin/dust3d name $(CONFIG))/report.html"
	@$(IN_VENV) dust3d products $(CONFIG)

unlock: venv
	@$(checked)
	@$(IN_VENV) snakemake --unlock --configfile $(CONFIG)

data: venv
	@$(IN_VENV) dust3d data

lint: venv
	@$(IN_VENV) ruff check .
	@$(IN_VENV) ruff format --check --quiet .
	@$(IN_VENV) snakefmt --check --compact-diff workflow
	@$(IN_VENV) basedpyright

test: lint
	@$(IN_VENV) python -m pytest -n $(WORKERS) --dist loadfile --durations 20

test-slow: venv
	@$(IN_VENV) python -m pytest -m slow

test-slurm: venv
	@$(IN_VENV) python -m pytest -m slurm tests/cluster

# what is compared with is installed beside the rest, at versions that go with it
install = PIP_CONSTRAINT="constraints.txt benchmarks/constraints.txt" \
	.venv/bin/python -m pip install --quiet --disable-pip-version-check

bench: venv
	@.venv/bin/python -c 'import finufft' 2>/dev/null || \
		PIP_BUILD_CONSTRAINT=constraints.txt $(install) --editable '.[bench]'
	@set -e; for name in $(BENCH); do \
		echo "dust3d: benchmarks/$$name.py"; $(IN_VENV) python "benchmarks/$$name.py"; \
		if [ "$$name" = rays ]; then $(IN_VENV) python benchmarks/figure.py; fi; done

bench-nifty: venv
	@.venv/bin/python -c 'import nifty.re' 2>/dev/null || $(install) nifty
	@$(IN_VENV) python benchmarks/nifty_re.py $(if $(RUN),"$(RUN)")

docs-config: venv
	@$(IN_VENV) dust3d config-docs

clean:
	rm -rf .venv .snakemake .jax_cache .pytest_cache .ruff_cache src/*.egg-info
	find src tests workflow -name __pycache__ -type d -prune -exec rm -rf {} +
