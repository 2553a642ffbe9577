#!/usr/bin/env python3
"""Store a model's weights in the experiment's dtype, from a download, a folder, or a seed."""

import argparse
from pathlib import Path

from semgap.model.model_settings import ModelSettings
from semgap.pipeline.cli import add_settings, run_script, script_parser


def store(arguments: argparse.Namespace) -> None:
    """Write config.json and safetensors shards."""
    import json

    from semgap.model.obtaining.sources import pretrained_weights, seeded_weights
    from semgap.model.obtaining.store import store_weights

    settings = arguments.settings
    if arguments.source is not None:
        source = pretrained_weights(arguments.source, settings.dtype)
    else:
        source = seeded_weights(json.dumps(settings.architecture), settings.dtype, settings.seed)
    store_weights(source, arguments.weights)


def main() -> None:
    """Command line."""
    parser = script_parser(__doc__)
    parser.add_argument("--source", type=Path, help="folder with weights, unless they are seeded")
    parser.add_argument("--weights", required=True, type=Path, help="writes this folder")
    add_settings(parser, ModelSettings)
    run_script(parser, store)


if __name__ == "__main__":
    main()
