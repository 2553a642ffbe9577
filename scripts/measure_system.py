#!/usr/bin/env python3
"""Measure one repeat of somebody else's system, from outside; one that fails is a result, too."""

from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script
from semgap.systems.system_settings import SystemJob


def measure_system(
    manifest: Annotated[Path, "describes the model"],
    weights: Annotated[Path, "folder with the weights"],
    prompt: Annotated[Path, "the prompt's token ids"],
    endpoint: Annotated[Path | None, "describes the server that runs the system's, if it has one"],
    settings: Annotated[SystemJob, "what to run"],
    code: Annotated[str, "fingerprint of the code that measures, for the record"],
    run: Annotated[Path, "writes the run record, last"],
    logits: Annotated[Path, "writes the logits (.npy)"],
    capture: Annotated[Path, "writes the capture (.pcap)"],
) -> None:
    import logging
    from functools import partial

    from semgap.plumbing.exclusive import alone_on_this_machine

    system_id, benchmark = settings.system_id, settings.benchmark
    say = partial(
        logging.getLogger("semgap").warning, "%s, repeat %s: %s", system_id, benchmark.repeat
    )
    # Before anything large is imported: that, too, would disturb whoever measures.
    with alone_on_this_machine(say):
        import numpy as np

        from semgap.errors import SemgapError
        from semgap.measurement.job import measure
        from semgap.measurement.run_files import with_digests, write_logits
        from semgap.model.manifest import Manifest
        from semgap.model.prompt import Prompt
        from semgap.plumbing.files import read_record, write_record
        from semgap.systems.external_system import opened_system
        from semgap.systems.system_run import SystemRun

        model, text = read_record(manifest, Manifest), read_record(prompt, Prompt)
        opened = partial(
            opened_system,
            job=settings,
            endpoint_file=endpoint,
            manifest=model,
            weights_folder=weights,
            prompt_tokens=len(text.token_ids),
        )
        policy = settings.system.as_policy(system_id)
        try:
            record, found = measure(opened, policy, benchmark, code, capture, model, text)
        except SemgapError as error:
            say(f"{error} '{run}' says so too: delete it to measure it again.")
            capture.touch()
            write_logits(logits, np.empty((0, model.vocabulary_size), np.float32))
            write_record(run, SystemRun(system_id, benchmark.repeat, None, str(error)))
            return
    write_logits(logits, found)
    write_record(run, SystemRun(system_id, benchmark.repeat, with_digests(record, logits, capture)))


if __name__ == "__main__":
    run_script(measure_system)
