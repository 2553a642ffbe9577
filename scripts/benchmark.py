#!/usr/bin/env python3
"""Measure one repeat of one mode: latency, captured packets, tokens and logits."""

import argparse
from pathlib import Path

from semgap.measurement.job_settings import BenchmarkSettings
from semgap.pipeline.cli import add_settings, run_script, script_parser


def measure(arguments: argparse.Namespace) -> None:
    """Run the benchmark and write what it found, the record last."""
    import io

    import msgspec
    import numpy as np

    from semgap.measurement.job import BenchmarkFiles, run_benchmark
    from semgap.model.manifest import Manifest
    from semgap.model.prompt import Prompt
    from semgap.model.weight_files import check_weight_files
    from semgap.model.weights import map_weights
    from semgap.modes import policy_of
    from semgap.plumbing.files import digest_of, read_record, write_atomically, write_record

    policy = policy_of(arguments.mode)
    manifest = read_record(arguments.manifest, Manifest)
    # Hash only files that changed after the manifest was written; verify_weights hashes all later.
    check_weight_files(arguments.weights, manifest, arguments.manifest.stat().st_mtime_ns)
    record, logits = run_benchmark(
        policy,
        arguments.settings,
        BenchmarkFiles(capture=arguments.capture, endpoint=arguments.endpoint),
        manifest,
        read_record(arguments.prompt, Prompt),
        map_weights(arguments.weights, manifest),
    )
    file = io.BytesIO()
    np.save(file, logits)
    write_atomically(arguments.logits, file.getvalue())
    digests = {
        "logits_sha256": digest_of(arguments.logits),
        "capture_sha256": digest_of(arguments.capture),
    }
    write_record(arguments.run, msgspec.structs.replace(record, **digests))


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--mode", required=True, help="a mode of the policy table")
    parser.add_argument("--manifest", required=True, type=Path, help="describes the model")
    parser.add_argument("--weights", required=True, type=Path, help="folder with the weights")
    parser.add_argument("--prompt", required=True, type=Path, help="the prompt's token ids")
    parser.add_argument("--endpoint", type=Path, help="describes the server, if the mode needs one")
    parser.add_argument("--run", required=True, type=Path, help="writes the run record")
    parser.add_argument("--logits", required=True, type=Path, help="writes the logits (.npy)")
    parser.add_argument("--capture", required=True, type=Path, help="writes the capture (.pcap)")
    add_settings(parser, BenchmarkSettings)
    run_script(parser, measure)


if __name__ == "__main__":
    main()
