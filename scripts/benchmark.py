#!/usr/bin/env python3
"""Measure one repeat of one mode: latency, captured packets, tokens and logits."""

from pathlib import Path
from typing import Annotated

from semgap.measurement.job_settings import BenchmarkSettings
from semgap.pipeline.cli import run_script, settings_json
from semgap.server.endpoint import SshTarget


def measure(
    mode: Annotated[str, "a mode of the policy table"],
    manifest: Annotated[Path, "describes the model"],
    weights: Annotated[Path, "folder with the weights"],
    prompt: Annotated[Path, "the prompt's token ids"],
    endpoint: Annotated[Path | None, "describes the server, if the mode needs one"],
    settings: Annotated[BenchmarkSettings, "what to run"],
    code: Annotated[str, "fingerprint of the code that measures, for the record"],
    run: Annotated[Path, "writes the run record, last"],
    logits: Annotated[Path, "writes the logits (.npy)"],
    capture: Annotated[Path, "writes the capture (.pcap)"],
    there: Annotated[SshTarget | None, "another machine, to measure on"],
) -> None:
    if there is not None:
        from semgap.server.ssh import run_there

        sent = {"prompt": prompt, "weights": weights, "manifest": manifest}
        written = {"capture": capture, "logits": logits, "run": run}
        said = {"mode": mode, "settings": settings_json(settings), "code": code}
        run_there(there, "scripts/benchmark.py", said, sent, written)
        return
    import logging
    from functools import partial

    from semgap.plumbing.exclusive import alone_on_this_machine

    say = partial(logging.getLogger("semgap").warning, "%s, repeat %s: %s", mode, settings.repeat)
    # Before anything large is imported: that, too, would disturb whoever measures.
    with alone_on_this_machine(say):
        from semgap.measurement.job import run_benchmark
        from semgap.measurement.run_files import with_digests, write_logits
        from semgap.model.manifest import Manifest
        from semgap.model.prompt import Prompt
        from semgap.model.weights import check_weight_files, map_weights
        from semgap.modes import policy_of
        from semgap.plumbing.files import read_record, write_record

        policy = policy_of(mode)
        model = read_record(manifest, Manifest)
        # Hash only files that changed after the manifest was written; verify_weights hashes all.
        check_weight_files(weights, model, manifest.stat().st_mtime_ns)
        record, found = run_benchmark(
            policy,
            settings,
            code,
            capture,
            endpoint,
            model,
            read_record(prompt, Prompt),
            map_weights(weights, model),
        )
    write_logits(logits, found)
    write_record(run, with_digests(record, logits, capture))


if __name__ == "__main__":
    run_script(measure)
