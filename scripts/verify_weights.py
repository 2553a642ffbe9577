#!/usr/bin/env python3
"""Check that the weights which were measured are the described ones, byte for byte."""

from pathlib import Path
from typing import Annotated

from semgap.pipeline.cli import run_script


def verify(
    weights: Annotated[Path, "folder with the weights"],
    manifest: Annotated[Path, "describes the model"],
    fingerprint: Annotated[Path, "writes the fingerprint of the model that they are"],
) -> None:
    from semgap.model.manifest import Manifest
    from semgap.model.weights import check_weight_files
    from semgap.plumbing.files import read_record, write_atomically

    model = read_record(manifest, Manifest)
    check_weight_files(weights, model)
    write_atomically(fingerprint, f"{model.fingerprint}\n".encode())


if __name__ == "__main__":
    run_script(verify)
