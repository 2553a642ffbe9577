# `make table`, `make check` and `make test` are the ones to know; `make help` lists the others.

# What makes the environment: Python 3.11 or newer.
PYTHON ?= python3
# The set of pinned versions: envs/lock-$(SET).txt
SET ?= current
# The experiment.
CONFIG ?= config/default.yaml
# For Snakemake; benchmarks never overlap, whatever it is.
CORES ?= 1
# What `make precise` chose for CONFIG; every other target measures and shows as many repeats.
PRECISE = build/precise-$(notdir $(CONFIG))
CONFIGS = $(CONFIG) $(wildcard $(PRECISE))
# For `make precise`: the reach of a ratio's interval, in percent.
WITHIN ?= 5
# For `make precise`: the repeats of a mode that may be made for it.
AT_MOST ?= 20
# For `make sweep`: what differs from point to point.
SWEEP ?= config/sweeps/links.yaml
decode-rate: SWEEP = config/sweeps/decode.yaml
peers: CONFIG = config/peers.yaml
# For `make doctor`: what else it speaks of.
EXPERIMENTS ?= $(filter-out config/claims.yaml,$(wildcard config/*.yaml))
# What Snakemake leaves out: our lines and errors are shown anyway. QUIET= shows all.
QUIET ?= --quiet all
# How llama.cpp is built, such as -DGGML_CUDA=ON.
LLAMA_CPP ?=
# For `make fresh`: the release of Debian.
SUITE ?= bookworm
# For `make kit`: the GPU host's Python.
KIT_PYTHON ?= 3.12
# For `make kit`: what is installed there and need not be brought.
KIT_HOST_HAS ?= torch transformers tokenizers safetensors numpy pandas scipy sympy mpmath \
	networkx setuptools hf-xet regex

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/installed-runtime-$(SET)
TEST_TOOLS := $(VENV)/installed-test-$(SET)
UV := $(VENV)/bin/uv
LOCK = $(UV) pip compile -q --universal --python-version 3.11 --no-header --no-annotate \
	--no-emit-index-url
# A CUDA build of torch pins these itself; a CPU build needs none of them.
WITHOUT_CUDA := sed -i -E '/^(nvidia-(cu|nccl|nvjitlink|nvshmem|nvtx)|cuda-|triton)/d'

MEASURE_SWEEP = $(BIN)/python scripts/sweep.py measure --configfile $(CONFIG) $(SWEEP) \
	--folder build/sweeps --cores $(CORES)
REPORT_SWEEP = $(BIN)/python scripts/sweep.py report --configfile $(CONFIG) $(SWEEP) \
	--shapes config/models/shapes.yaml
POINTS = $(BIN)/python scripts/sweep.py points --configfile $(CONFIG) $(SWEEP)

PYTHON_CODE := scripts tests examples
WORKFLOW_CODE := Snakefile workflow

.DEFAULT_GOAL := help
.PHONY: help table verify precise report doctor status problems sweep decode-rate \
	line-rate table-time parse-rate check test thorough format static unit integration reruns \
	workflow planted mutants honest judge-model peers systems llama.cpp appendix artifact fresh container clean locks docs models kit environment tcpdump judges cluster stop \
	reference-tables

help:  ## list the targets and the variables
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18
	@echo; echo "Variables, as in 'make table CONFIG=config/mini-tcp.yaml':"
	@awk '/^# /{said=substr($$0, 3); next} /^[A-Z_]+ \?=/{print $$1 "\t" said} {said=""}' \
		$(MAKEFILE_LIST) | expand -t 18

table: problems  ## measure what is missing, build results/table.md and print it
	@$(BIN)/snakemake --cores $(CORES) $(QUIET) --configfile $(CONFIGS) -- all
	@cat results/table.md

report: problems  ## build the table and results/report.html, one page that opens offline
	@$(BIN)/snakemake --cores $(CORES) $(QUIET) --configfile $(CONFIGS) -- report
	@echo "Open results/report.html"

status: environment  ## say how far the experiment of CONFIG is and how long the rest takes
	@$(BIN)/python scripts/status.py --config $(CONFIGS)

doctor:  ## say what this machine can do, what each experiment needs, and what to do about the rest
	@test -x $(BIN)/python || { echo "There is no $(VENV) yet: 'make environment' makes it." >&2; exit 1; }
	@$(BIN)/python scripts/doctor.py --config $(CONFIGS) --lock envs/lock-$(SET).txt \
		--others $(EXPERIMENTS)

# What would fail says so before anything costs time; Snakemake decides what runs.
problems: environment tcpdump
	@$(BIN)/python scripts/doctor.py --problems --config $(CONFIGS) --lock envs/lock-$(SET).txt || true

verify: problems  ## build the table and hold it against claims and recorded results
	@$(BIN)/snakemake --cores $(CORES) $(QUIET) --configfile $(CONFIGS) -- verify

precise: problems  ## add repeats until each latency ÷ local is known within WITHIN percent
	@$(BIN)/python scripts/precise.py --configfile $(CONFIGS) --overlay $(PRECISE) \
		--within-percent $(WITHIN) --at-most $(AT_MOST) --cores $(CORES)
	@cat results/table.md

sweep: environment tcpdump  ## measure every point of SWEEP, which goes over CONFIG, and fit their law
	@$(POINTS) > /dev/null
	@$(MEASURE_SWEEP); measured=$$?; $(REPORT_SWEEP) && exit $$measured

decode-rate: environment tcpdump systems  ## measure many decode steps with each engine, and judge them
	@$(MEASURE_SWEEP)
	@$(BIN)/python tests/decode_rate_goals.py $$($(POINTS))

line-rate: environment tcpdump  ## measure transports and step path beside plain sockets, and judge them
	@$(BIN)/snakemake --cores $(CORES) $(QUIET) --configfile config/line-rate.yaml -- \
		results/line-rate/transport.md results/line-rate/overhead.md
	@cat results/line-rate/transport.md results/line-rate/overhead.md
	@$(BIN)/python tests/line_rate_goals.py results/line-rate

table-time: environment tcpdump  ## say where the time of `make table` goes, and judge it (4 min)
	@$(BIN)/python tests/table_time.py

parse-rate: environment  ## measure how many packets a second the capture reader takes in
	@$(BIN)/python tests/benchmark_pcap.py

check: environment $(TEST_TOOLS)  ## formats, lint, types and unit tests: before each commit
	@$(MAKE) --no-print-directory -j2 --output-sync static unit

# The workflow tests take as long as all others together, and wait as often as they compute.
test: environment $(TEST_TOOLS) judges tcpdump  ## all tests, and all that `check` does
	@$(MAKE) --no-print-directory -j2 --output-sync static workflow integration reruns planted unit

thorough: artifact tcpdump cluster  ## what `test` leaves out: further model families, repeats until ratios are known
	@$(BIN)/python -m pytest -m thorough tests/integration tests/workflow

format: $(TEST_TOOLS)  ## rewrite the code in its format
	@$(BIN)/ruff format $(PYTHON_CODE)
	@$(BIN)/ruff check --fix-only $(PYTHON_CODE)
	@$(BIN)/snakefmt $(WORKFLOW_CODE)

static:
	@$(BIN)/ruff check $(PYTHON_CODE)
	@$(BIN)/ruff format --check $(PYTHON_CODE)
	@$(BIN)/snakefmt --check $(WORKFLOW_CODE)
	@$(BIN)/snakemake --lint
	@PYTHONPATH=scripts $(BIN)/lint-imports
	@$(BIN)/mypy

unit integration reruns workflow planted:
	@$(BIN)/python -m pytest tests/$@

mutants: environment $(TEST_TOOLS) tcpdump  ## plant all wrong evaluations and write docs/planted-errors.md (20 min)
	@PLANTED=all $(BIN)/python -m pytest tests/planted

honest: environment $(TEST_TOOLS) tcpdump  ## measure 40 honest experiments: no check may refuse one (half an hour)
	@cd tests/planted && PYTHONPATH=.. ../../$(BIN)/python honest.py

judge-model: environment llama.cpp  ## hold SmolLM2's tokens and logits against llama.cpp's, which is built first (10 min)
	@$(BIN)/snakemake --cores $(CORES) $(QUIET) --configfile config/smollm2.yaml \
		-- results/smollm2/model/prompt.json
	@PYTHONPATH=scripts:tests $(BIN)/python tests/llama_cpp/judge_model.py results/smollm2

peers: environment tcpdump systems  ## measure living systems beside the modes; they are built first (15 min)
	@$(BIN)/snakemake --cores $(CORES) $(QUIET) --configfile $(CONFIGS) -- all
	@cat results/$(basename $(notdir $(CONFIG)))/peers.md

# What the configuration names is built, if there is nothing wrong with it.
systems: environment
	@$(BIN)/python scripts/status.py --config $(CONFIGS) > /dev/null
	@! grep -q /llama_cpp/ $(CONFIG) || $(MAKE) --no-print-directory llama.cpp
	@! grep -q build/rgpu/ $(CONFIG) || $(MAKE) --no-print-directory build/rgpu

llama.cpp: environment
	@envs/ensure-program.sh cmake "cmake g++" "llama.cpp cannot be built."
	@PYTHON=$(BIN)/python examples/llama_cpp/build.sh $(LLAMA_CPP)

build/rgpu: examples/rgpu/lock.txt
build/judge-crate: tests/crate/lock.txt
build/rgpu build/judge-crate:
	@$(PYTHON) -m venv $@
	@$@/bin/pip install --quiet --disable-pip-version-check -r $< && touch $@

docs: environment  ## write what follows from code: config/README.md, the schema, docs/faults.md
	@PYTHONPATH=scripts $(BIN)/python -m semgap.maintain.faults
	@$(BIN)/python scripts/document_config.py --output config/README.md \
		--schema workflow/schemas/config.schema.json --protocol docs/line-protocol.schema.json

reference-tables: environment  ## rebuild the recorded results' tables, figures and the README's part
	@PYTHONPATH=scripts $(BIN)/python -m semgap.maintain.reference_results

appendix: environment judges  ## build/appendix.pdf: the artifact appendix that committees ask for
	@mkdir -p build && PYTHONPATH=scripts $(BIN)/python -m semgap.maintain.appendix build/appendix.tex
	@cd build && pdflatex -interaction=batchmode -halt-on-error appendix.tex > /dev/null
	@echo build/appendix.pdf

artifact: environment $(TEST_TOOLS) build/judge-crate  ## what an archive takes: sources, records, hashes, a Run RO-Crate
	@$(BIN)/pip install --quiet --disable-pip-version-check uv
	@PATH="$(CURDIR)/$(BIN):$$PATH" envs/artifact/build.sh build/semgap-artifact.tar.xz
	@rm -rf build/artifact && mkdir build/artifact
	@tar -C build/artifact -xJf build/semgap-artifact.tar.xz
	@build/judge-crate/bin/python tests/crate/judge.py build/artifact/semgap

fresh:  ## as root: the README's commands in a minimal Debian that is made for it (10 min)
	@envs/ensure-program.sh debootstrap debootstrap "there is no minimal Debian to try."
	@folder=$$(mktemp -d) && tests/fresh/run.sh $(SUITE) "$$folder/debian"; status=$$?; \
		rm -rf --one-file-system "$$folder"; exit $$status

container: artifact  ## as root: build the artifact's container on a minimal Debian, and measure in it (15 min)
	@envs/ensure-program.sh debootstrap debootstrap "there is no base to build upon."
	@envs/ensure-program.sh buildah "buildah crun" "nothing builds the container."
	@folder=$$(mktemp -d) && tests/fresh/container.sh $(SUITE) "$$folder/build"; status=$$?; \
		rm -rf --one-file-system "$$folder"; exit $$status

models: environment  ## try every model type of transformers, small, and write docs/models.md (3 min)
	@PYTHONPATH=scripts $(BIN)/python -m semgap.maintain.scan_models

kit: $(TEST_TOOLS)  ## gather what a GPU host without internet lacks: build/semgap-kit.tar.xz
	@$(BIN)/pip install --quiet --disable-pip-version-check uv
	@PATH="$(CURDIR)/$(BIN):$$PATH" envs/kit/build.sh build/semgap-kit.tar.xz "$(KIT_PYTHON)" \
		"$(KIT_HOST_HAS)"

stop: environment  ## stop servers that were left behind
	@for endpoint in results/*/server/endpoint.json; do \
		test ! -e "$$endpoint" || $(BIN)/python scripts/rpc_server.py stop --endpoint "$$endpoint"; \
	done

clean: stop  ## remove all results but the recorded ones
	@rm -f build/precise-*
	@find results -mindepth 1 -maxdepth 1 ! -name reference -exec rm -rf {} +

environment: $(RUNTIME)  ## create .venv from the pinned lock

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
			"Call make with PYTHON=/path/to/python3.12, for example." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make a virtual environment (Debian: apt-get install python3-venv)." \
			>&2; exit 1; }

$(RUNTIME): envs/lock-$(SET).txt | $(VENV)/bin/python
	@echo "Installing the pinned packages into $(VENV) (minutes, once)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -r envs/lock-$(SET).txt
	@rm -f $(VENV)/installed-*
	@touch $@

$(TEST_TOOLS): envs/lock-test.txt $(RUNTIME)
	@$(BIN)/pip install --quiet --disable-pip-version-check -r envs/lock-test.txt
	@touch $@

tcpdump:
	@envs/ensure-program.sh tcpdump tcpdump "bytes will be counted by the transport instead of \
	captured, and the table will say so."

cluster:
	@envs/ensure-program.sh slurmctld "slurmctld slurmd slurm-client munge" \
		"no test measures on a cluster."

judges:
	@envs/ensure-program.sh tshark tshark "no test compares the capture reader with it."
	@envs/ensure-program.sh ping iputils-ping "no test compares a link's delay with it."
	@envs/ensure-program.sh sshd openssh-server "no test has a worker on another machine."
	@envs/ensure-program.sh chromium chromium "no test opens the report in a browser."
	@envs/ensure-program.sh pdflatex texlive-latex-recommended "no test compiles the table."

locks: $(TEST_TOOLS)  ## pin all packages anew from envs/*.in
	@$(BIN)/pip install --quiet --disable-pip-version-check uv
	@for set in current gpu-host; do \
		$(LOCK) envs/direct.in envs/set-$$set.in -o envs/lock-$$set.txt; \
		$(WITHOUT_CUDA) envs/lock-$$set.txt; \
	done
	@$(LOCK) examples/rgpu/direct.in -o examples/rgpu/lock.txt; $(WITHOUT_CUDA) examples/rgpu/lock.txt
	@$(LOCK) tests/crate/direct.in -o tests/crate/lock.txt
	@$(LOCK) envs/test.in -c envs/lock-current.txt -c envs/lock-gpu-host.txt -o envs/lock-test.txt
