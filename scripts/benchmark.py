#!/usr/bin/env python3
"""Measure one repeat of one mode: latency, captured packets, tokens, logits, surroundings."""

from __future__ import annotations

import argparse
from pathlib import Path

from semgap.cli import run_script, script_parser
from semgap.settings import BenchmarkSettings, add_flags, from_flags


def measure(arguments: argparse.Namespace) -> None:
    """Run the benchmark and write what it found."""
    import numpy as np
    import torch

    from semgap.benchmark import BenchmarkFiles, run_benchmark
    from semgap.model.weights import map_weights
    from semgap.modes import policy_of
    from semgap.provenance import KnownToCaller, collect_provenance, read_config, seeds_of
    from semgap.records import Manifest, Prompt, read_record, write_record

    config = read_config(arguments.config)
    policy = policy_of(arguments.mode)
    manifest = read_record(arguments.manifest, Manifest)
    measured = run_benchmark(
        policy,
        from_flags(arguments, BenchmarkSettings),
        BenchmarkFiles(capture=arguments.capture, endpoint=arguments.endpoint),
        manifest,
        read_record(arguments.prompt, Prompt),
        map_weights(arguments.weights, manifest),
    )
    known = KnownToCaller(
        config=config,
        interface=arguments.interface,
        model_fingerprint=manifest.fingerprint,
        seeds=seeds_of(config),
        gpu_uuid=measured.gpu_uuid,
        cuda_runtime=torch.version.cuda,
    )
    np.save(arguments.logits, measured.logits)
    write_record(arguments.conditions, measured.conditions)
    write_record(arguments.provenance, collect_provenance(known))
    write_record(arguments.run, measured.record)


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--mode", required=True, help="a mode of the policy table")
    parser.add_argument("--manifest", required=True, type=Path, help="describes the model")
    parser.add_argument("--weights", required=True, type=Path, help="folder with the weights")
    parser.add_argument("--prompt", required=True, type=Path, help="the prompt's token ids")
    parser.add_argument("--config", required=True, type=Path, help="the whole configuration")
    parser.add_argument("--endpoint", type=Path, help="describes the server, if the mode needs one")
    parser.add_argument("--run", required=True, type=Path, help="writes the run record")
    parser.add_argument("--logits", required=True, type=Path, help="writes the logits (.npy)")
    parser.add_argument("--conditions", required=True, type=Path, help="writes the machine's state")
    parser.add_argument("--provenance", required=True, type=Path, help="writes the run's origin")
    parser.add_argument("--capture", required=True, type=Path, help="writes the capture (.pcap)")
    add_flags(parser, BenchmarkSettings)
    run_script(parser, measure)


if __name__ == "__main__":
    main()
