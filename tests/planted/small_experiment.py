"""A small experiment without Snakemake: what the rules' scripts do, in one process.

Usage: small_experiment.py TREE FOLDER [MODE …]

TREE is a copy of the project, perhaps with a planted error. FOLDER holds an experiment; if it is
empty, all of it is made. The runs of the modes are measured again, then the experiment is checked
and published. Prints as JSON which check refused it, if one did, with its message.
"""

import json
import logging
import multiprocessing
import os
import sys
import traceback
from pathlib import Path

PROMPT_TOKENS, DECODE_STEPS, REPEATS, SEED = 500, 3, 3, 0
MODES = ("local", "naive", "remote_cache", "semantic")
ARCHITECTURE = {
    "model_type": "gptj",
    "n_layer": 2,
    "n_embd": 128,
    "n_head": 4,
    "rotary_dim": 32,
    "n_positions": 512,
    "vocab_size": 2000,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


class SmallExperiment:
    """The files of an experiment, and what the scripts make of them."""

    def __init__(self, tree: Path, folder: Path) -> None:
        from semgap.inference.worker_settings import WorkerSettings
        from semgap.measurement.job_settings import WorkloadSettings
        from semgap.model.model_settings import ModelSettings

        self.tree, self.folder = tree, folder
        self.model = ModelSettings("small", "seeded", architecture=ARCHITECTURE)
        # With two threads on two cores, the scheduler needs some steps to part them.
        self.worker = WorkerSettings(compute_threads=1)
        self.workload = WorkloadSettings(decode_steps=DECODE_STEPS, rehearsals_at_most=3)
        self.weights = folder / "small-model" / "weights"
        self.manifest = folder / "model" / "manifest.json"
        self.prompt = folder / "model" / "prompt.json"
        self.agreement = folder / "model" / "agreement.json"
        self.expected = folder / "model" / "expected.logits.npy"
        self.expectation = folder / "expectation.json"
        self.endpoint = folder / "server" / "endpoint.json"

    def prepare(self) -> None:
        """What comes before the first run."""
        import check_model
        import describe_model
        import make_prompt
        import store_weights

        store_weights.store(None, self.model, self.weights)
        describe_model.describe(self.weights, self.model, self.manifest)
        make_prompt.random(self.manifest, self.prompt, PROMPT_TOKENS, DECODE_STEPS, SEED)
        check_model.check(
            *(self.weights, None, self.model, self.worker.engine, self.prompt, DECODE_STEPS),
            *(self.agreement, self.expected),
        )

    def expect(self) -> None:
        """What the configuration asks for."""
        from semgap.analysis.claims import load_claims
        from semgap.analysis.expectation import Asked, Expectation, ExpectedRun
        from semgap.modes import policy_of
        from semgap.plumbing.files import write_record

        runs = tuple(
            ExpectedRun(
                mode,
                self.settings(repeat),
                policy_of(mode),
                "in_process" if mode == "local" else "tcp",
            )
            for mode, repeat in self.runs()
        )
        expectation = Expectation(
            experiment="small",
            weights_id=self.weights.parent.name,
            model=self.model,
            prompt_tokens=PROMPT_TOKENS,
            prompt_seed=SEED,
            labels={mode: policy_of(mode).label for mode in MODES},
            runs=runs,
            claims=load_claims(self.tree / "config" / "claims.yaml"),
        )
        write_record(self.expectation, Asked(expectation, 0))

    def runs(self):
        return [(mode, repeat) for mode in MODES for repeat in range(1, REPEATS + 1)]

    def settings(self, repeat: int):
        from semgap.measurement.job_settings import BenchmarkSettings, CaptureSettings

        return BenchmarkSettings("small", repeat, self.workload, self.worker, CaptureSettings())

    def measure(self, modes) -> None:
        """Measure all repeats of these modes, in rounds."""
        import benchmark
        import parse_capture
        import rpc_server
        from semgap.engine import eager  # noqa: F401  here once, and not in each process
        from semgap.measurement import job  # noqa: F401
        from semgap.plumbing.tcp_sockets import free_port
        from semgap.server.endpoint import ServerJob, ServerSettings

        port = free_port("127.0.0.1")
        server = ServerJob(ServerSettings(port=port, transport="tcp"), self.worker)
        rpc_server.start(self.endpoint, self.manifest, "c", server)
        try:
            for repeat in range(1, REPEATS + 1):
                for mode in modes:
                    run, logits, capture, traffic, turns = self.files_of(mode, repeat)
                    endpoint = None if mode == "local" else self.endpoint
                    alone(
                        benchmark.measure,
                        *(mode, self.manifest, self.weights, self.prompt, endpoint),
                        *(self.settings(repeat), "c", run, logits, capture, None),
                    )
                    parse_capture.parse(run, capture, traffic, turns)
        finally:
            rpc_server.stop(self.endpoint)

    def files_of(self, mode: str, repeat: int):
        run = self.folder / "runs" / mode / f"rep{repeat}.json"
        traffic = self.folder / "traffic" / mode / f"rep{repeat}.csv"
        return (
            *(run, run.with_suffix(".logits.npy"), run.with_suffix(".pcap")),
            *(traffic, traffic.with_suffix(".turns.csv")),
        )

    def publish(self) -> None:
        """Check what was measured, and write numbers and reports."""
        import aggregate
        import render_table
        import verify_weights
        from semgap.analysis import publish
        from semgap.analysis.catalogue import REPORTS

        files = zip(*(self.files_of(*run) for run in self.runs()), strict=True)
        runs, logits, captures, traffic, turns = map(list, files)
        numbers = [self.folder / f"{name}.csv" for name in publish.NUMBERS]
        verify_weights.verify(self.weights, self.manifest, self.folder / "verified.txt")
        aggregate.aggregate(
            expectation=self.expectation,
            manifest=self.manifest,
            prompt=self.prompt,
            agreement=self.agreement,
            expected=self.expected,
            runs=runs,
            logits=logits,
            captures=captures,
            traffic=traffic,
            turns=turns,
            numbers=numbers,
            built_from=self.folder / "built_from.json",
        )
        reports = [self.folder / name for name in REPORTS]
        render_table.render(self.expectation, self.manifest, runs, numbers, reports)


class RefusedError(Exception):
    """A check refused something, in a process of its own."""


def alone(work, *arguments) -> None:
    """Do it in a forked process, as a job is one: nothing is warm that another has used."""
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()

    def act() -> None:
        try:
            work(*arguments)
        except Exception as error:
            logging.exception("refused")
            theirs.send((refused_by(error), str(error)))
        else:
            theirs.send(None)
        os._exit(0)

    process = context.Process(target=act)
    process.start()
    refused = mine.recv()
    process.join()
    if refused:
        raise RefusedError(*refused)


def refused_by(error: BaseException) -> str:
    """The check that raised, by its name, or the kind of the error."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "/semgap/" in frame.filename or "/scripts/" in frame.filename
    ]
    checks = [one for one in frames if one.name.lstrip("_").startswith("check_")]
    return checks[0].name if checks else type(error).__name__


def main() -> None:
    tree, folder, *modes = sys.argv[1:]
    sys.path.insert(0, str(Path(tree) / "scripts"))
    from semgap.plumbing.processes import yield_idle_cores

    yield_idle_cores()
    logging.basicConfig(level=logging.WARNING)
    experiment = SmallExperiment(Path(tree), Path(folder))
    outcome = {"refused_by": None, "message": ""}
    try:
        if not experiment.manifest.exists():
            alone(experiment.prepare)
            modes = MODES
        experiment.expect()
        if modes:
            experiment.measure(modes)
        experiment.publish()
    except RefusedError as error:
        outcome = dict(zip(outcome, error.args, strict=True))
    except Exception as error:
        logging.exception("refused")
        outcome = {"refused_by": refused_by(error), "message": str(error)}
    print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
