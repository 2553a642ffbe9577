"""Errors that somebody makes with files: a finished experiment is changed by hand."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from dataclasses import replace

from control import REPEATS
from semgap.settings import BenchmarkSettings, to_flags

_FILE_HEADER_BYTES = 24
_RECORD_HEADER = struct.Struct("<8xI4x")
_LOST_PACKETS = 3


def copy_a_repeat(experiment):
    """All files of a run become those of the one before, under its own number and session."""
    for folder, endings in (
        ("runs", ("json", "logits.npy", "machine.json", "provenance.json")),
        ("captures", ("pcap",)),
        ("traffic", ("csv",)),
    ):
        for ending in endings:
            before, last = (
                experiment.results / folder / "semantic" / f"rep{repeat}.{ending}"
                for repeat in (REPEATS - 1, REPEATS)
            )
            if before.exists():
                shutil.copyfile(before, last)
    run = experiment.results / "runs" / "semantic" / f"rep{REPEATS}.json"
    before = experiment.record("semantic", REPEATS)
    run.write_text(
        run.read_text()
        .replace(f'"repeat": {REPEATS - 1}', f'"repeat": {REPEATS}')
        .replace(before["session_id"], before["session_id"][::-1])
    )
    # What counts a run's bytes is newer than the run.
    (experiment.results / "traffic" / "semantic" / f"rep{REPEATS}.csv").touch()


def measure_with_another_step(experiment):
    """A run that somebody measured by hand, with a decode step less than all others."""
    workload = experiment.config["workload"]
    settings = BenchmarkSettings(
        experiment=experiment.config["experiment"],
        repeat=REPEATS,
        decode_steps=workload["decode_steps"],
        warmup_decode_steps=workload["warmup_decode_steps"],
        logits_to_keep=workload["logits_to_keep"],
        device=experiment.config["worker"]["device"],
        compute_threads=experiment.config["worker"]["compute_threads"],
        capture_use=experiment.config["capture"]["use"],
        interface=experiment.config["capture"]["interface"],
        interface_address=experiment.config["capture"]["interface_address"],
    )
    stale = replace(settings, decode_steps=settings.decode_steps - 1)
    (weights,) = experiment.folder.glob("results/models/*/weights")
    run = f"{experiment.results}/runs/local/rep{REPEATS}"
    subprocess.run(
        f"{sys.executable} scripts/benchmark.py --mode local --weights {weights}"
        f" --manifest {experiment.results}/model/manifest.json"
        f" --prompt {experiment.results}/model/prompt.json"
        f" --config {experiment.results}/config.json"
        f" --run {run}.json --logits {run}.logits.npy --conditions {run}.machine.json"
        f" --provenance {run}.provenance.json"
        f" --capture {experiment.results}/captures/local/rep{REPEATS}.pcap {to_flags(stale)}",
        cwd=experiment.folder,
        shell=True,
        check=True,
    )


def cut_off_last_packets(experiment):
    """The capture ends between two packets, so that it is still a valid file."""
    capture = experiment.results / "captures" / "naive" / f"rep{REPEATS}.pcap"
    content = capture.read_bytes()
    begins = [_FILE_HEADER_BYTES]
    while begins[-1] < len(content):
        (size_bytes,) = _RECORD_HEADER.unpack_from(content, begins[-1])
        begins.append(begins[-1] + _RECORD_HEADER.size + size_bytes)
    capture.write_bytes(content[: begins[-1 - _LOST_PACKETS]])
