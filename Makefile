# make reproduce   execute all notebooks of a setting, as far as they are out of date, into outputs/<SETTING>/,
#                  whose report/index.html shows all of it in a browser
#                  SETTING=zoo (or another file of params/)   SEEDS=1 (how many)   CORES=all   GPUS=all
#                  PROFILE=slurm: on a cluster, each job with a GPU (GPU=0: without); docs/cluster.md
# make test        the fast tests, then the slow ones
# make torture     what takes minutes: a hundred kills, thousands of damaged inputs, mutants (docs/reliability.md)
# make mutants     the last alone: changes of the code that a test should notice; mutants/report.txt lists what none did
# make bench       times of all stages against plain loops and other libraries: about 10 minutes on 2 idle cores;
#                  renews docs/results/performance* and the table in README.md   THREADS=1
# make test-browser  the demos in a real headless Chromium, through JupyterLab and Voila; screenshots in outputs/browser/
# make demo        the single-image demo as a web app on this machine alone   DEMO=demo_animal (or demo_horse)
#                  CHECKPOINT=adapted/checkpoint.pt: a detector of your own; those below outputs/own/ are offered anyway
# make lint        what the pre-commit hooks check
# make lab         JupyterLab in this folder
# make tour        draw the pictures of README.md anew, from the zoo's finished runs
# make audit       look the lock's packages up among the known vulnerabilities (needs uv and the network)
# make lock        renew requirements.lock from pyproject.toml (needs uv)
# make clean       remove the environment and caches; outputs/ stays
#
# Each of them first builds the environment .venv from requirements.lock, where that is missing or out of date:
# with uv if there is one, else with python3 -m venv and pip. PYTHON=python3.12 chooses another Python (3.11 or later).

SETTING ?= zoo
SEEDS ?= 1
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
GPUS ?= $(shell nvidia-smi --list-gpus 2>/dev/null | wc -l)
PROFILE ?= default
GPU ?= 1
PYTHON ?= python3
THREADS ?= 1
DEMO ?= demo_animal
CHECKPOINT ?=

BIN := .venv/bin
READY := .venv/.ready

# one thread per process, one process per core: OpenMP threads of several jobs wait for each other
export OMP_NUM_THREADS := 1

.PHONY: reproduce test test-browser demo torture mutants bench lint lab tour audit lock clean

# a run that fails is a gap in the tables, which are made all the same
reproduce: HERE = --cores $(CORES) --resources gpu=$(GPUS) --config
reproduce: ON_CLUSTER = --config gpu=$(GPU)
reproduce: SNAKEMAKE = $(BIN)/snakemake --workflow-profile profiles/$(PROFILE) \
    $(if $(filter slurm,$(PROFILE)),$(ON_CLUSTER),$(HERE)) setting=$(SETTING) seeds=$(SEEDS)
reproduce: $(READY)
	$(SNAKEMAKE) || { $(SNAKEMAKE) gaps=1; exit 1; }

test: $(READY)
	MPLBACKEND=agg $(BIN)/pytest -n $(CORES) -m "not slow and not torture"
	MPLBACKEND=agg $(BIN)/pytest -n $(CORES) --dist loadfile -m "slow and not torture and not browser"

torture: $(READY)
	MPLBACKEND=agg $(BIN)/pytest -n $(CORES) -m torture -rP
	$(MAKE) mutants

# at least 85 % of each module's mutants are to be noticed; taken up again where it was stopped
mutants: $(READY) .venv/.mutmut
	$(BIN)/mutmut run --max-children $(CORES)
	$(BIN)/mutmut results > mutants/report.txt
	$(BIN)/python tests/mutants.py mutants/cskt

.venv/.mutmut: $(READY)
	if command -v uv >/dev/null; then \
	    uv pip install --quiet --python $(BIN)/python --constraint requirements.lock \
	        --requirement pyproject.toml --extra mutants; \
	else \
	    $(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[mutants]'; \
	fi
	touch $@

bench: $(READY) .venv/.peers
	rm -rf outputs/performance/benchmark
	OMP_NUM_THREADS=$(THREADS) $(BIN)/python -m cskt run notebooks/20_performance.ipynb \
	    --config params/performance.yaml --set THREADS=$(THREADS) --out outputs/performance/benchmark
	$(BIN)/python -m cskt report performance

# what cannot be installed is left out of the comparison
.venv/.peers: $(READY) requirements-bench.txt
	if command -v uv >/dev/null; then \
	    uv pip install --quiet --python $(BIN)/python --constraint requirements.lock \
	        --requirement pyproject.toml --extra export --extra bench && \
	    uv pip install --quiet --python $(BIN)/python --no-deps --requirement requirements-bench.txt; \
	else \
	    $(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[export,bench]' && \
	    $(BIN)/python -m pip install --quiet --no-deps --requirement requirements-bench.txt; \
	fi || echo "not all other libraries could be installed" >&2
	touch $@

# nothing is installed here: who has no chromium is told how to get it
test-browser: $(READY)
	@command -v chromium >/dev/null || { echo "make test-browser needs a browser: apt-get install chromium" >&2; exit 2; }
	MPLBACKEND=agg $(BIN)/pytest -m browser tests/test_browser.py

demo: $(READY)
	CSKT_CHECKPOINT='$(CHECKPOINT)' $(BIN)/voila notebooks/$(DEMO).ipynb --Voila.config_file_paths=profiles/voila

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/nbstripout --verify notebooks/*.ipynb

lab: $(READY)
	$(BIN)/jupyter lab

tour: $(READY)
	MPLBACKEND=agg $(BIN)/python -m cskt tour

# fails too where a package could not be looked up
audit:
	uv tool run pip-audit@2.10.1 --strict --disable-pip --require-hashes --requirement requirements.lock

lock:
	uv pip compile --universal --generate-hashes --fork-strategy fewest --python-version 3.11 --extra dev \
	    --no-header --quiet --upgrade --output-file requirements.lock pyproject.toml

clean:
	rm -rf .venv .snakemake .pytest_cache .ruff_cache *.egg-info
	find cskt tests -name __pycache__ -type d -prune -exec rm -rf {} +

# the stamp is written last: an interrupted build is taken up again
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "$(PYTHON) is older than Python 3.11: name another one, make PYTHON=python3.12 ..." >&2; exit 1; }
	if command -v uv >/dev/null; then \
	    uv venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" .venv && \
	    uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock && \
	    uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .; \
	else \
	    $(PYTHON) -m venv .venv && \
	    $(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock && \
	    $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .; \
	fi
	touch $@
