#!/usr/bin/env python3
"""Choose the prompt's token ids, the same for every mode."""

import argparse
from pathlib import Path

from semgap.model.manifest import Manifest
from semgap.model.prompt import seeded_prompt
from semgap.pipeline.cli import run_script, script_parser
from semgap.plumbing.files import read_record, write_record


def choose(arguments: argparse.Namespace) -> None:
    """Write the prompt."""
    manifest = read_record(arguments.manifest, Manifest)
    steps_after = {
        "workload.decode_steps": arguments.decode_steps,
        "workload.warmup_decode_steps": arguments.warmup_decode_steps,
    }
    prompt = seeded_prompt(manifest, arguments.tokens, steps_after, arguments.seed)
    write_record(arguments.prompt, prompt)


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--manifest", required=True, type=Path, help="describes the model")
    parser.add_argument("--prompt", required=True, type=Path, help="writes this file")
    parser.add_argument("--tokens", required=True, type=int, help="length of the prompt")
    parser.add_argument("--decode-steps", required=True, type=int, help="tokens to come after it")
    parser.add_argument(
        "--warmup-decode-steps", required=True, type=int, help="the same, before anything is timed"
    )
    parser.add_argument("--seed", required=True, type=int, help="chooses the token ids")
    run_script(parser, choose)


if __name__ == "__main__":
    main()
