"""The validated configuration, the order of the runs, and what each job's code is."""

import json
import os
import random
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

SCRIPTS = Path(workflow.basedir) / "scripts"
if str(SCRIPTS) not in sys.path:
    sys.path.insert(0, str(SCRIPTS))

from semgap.config import load_config
from semgap.errors import ConfigError
from semgap.fingerprint import code_fingerprint
from semgap.modes import POLICIES, policy_of
from semgap.policy import WorkerPlace
from semgap.processes import OWNER_VARIABLE
from semgap.settings import BenchmarkSettings, ModelSettings, ServerSettings, to_flags

try:
    CONFIG = load_config(config)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

EXPERIMENT = f"results/{CONFIG.experiment}"
REPEATS = range(1, CONFIG.workload.repeats + 1)

# Jobs run with the interpreter that runs Snakemake, whether or not its environment is activated;
# everything a job starts ends when this process ends. A job that Snakemake starts in a process of
# its own inherits both.
if OWNER_VARIABLE not in os.environ:
    os.environ[OWNER_VARIABLE] = str(os.getpid())
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


wildcard_constraints:
    mode="|".join(policy.mode for policy in POLICIES),
    repeat=r"\d+",


def code_of(script, *modules):
    """Fingerprint of a script, of modules it imports by name, and of all they import."""
    return code_fingerprint(SCRIPTS, script, modules)


def per_run(pattern):
    """The files of all runs, in the order of the table and of the repeats."""
    return expand(pattern, mode=CONFIG.modes, repeat=REPEATS)


def labels():
    """The modes' names in the table, in the order of the policy table."""
    chosen = [policy for policy in POLICIES if policy.mode in CONFIG.modes]
    return {policy.mode: CONFIG.labels.get(policy.mode, policy.label) for policy in chosen}


def round_priority(wildcards):
    """All modes' first repeat before any second one, in an order shuffled for each round."""
    repeat = int(wildcards.repeat)
    shuffled = random.Random(f"{CONFIG.workload.order_seed} {repeat}").sample(
        CONFIG.modes, len(CONFIG.modes)
    )
    position = (repeat - 1) * len(shuffled) + shuffled.index(wildcards.mode)
    return 1_000_000 - position
