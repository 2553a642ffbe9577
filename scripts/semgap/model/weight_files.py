"""Weight files and their content: described when they are stored, checked when they are used."""

from pathlib import Path

from semgap.errors import ModelError
from semgap.model.manifest import Manifest, WeightFile
from semgap.plumbing.files import digest_of


def describe_file(path: Path) -> WeightFile:
    """Size and SHA-256 of a file."""
    return WeightFile(name=path.name, size_bytes=path.stat().st_size, sha256=digest_of(path))


def check_weight_files(folder: Path, manifest: Manifest, changed_after_ns: int = 0) -> None:
    """Check that stored weights are those that the manifest describes.

    Args:
        changed_after_ns: leave out files that were last changed before this (Unix time).

    Raises:
        ModelError: a file is missing or has another content.
    """
    for described in manifest.files:
        path = folder / described.name
        if path.exists() and path.stat().st_mtime_ns < changed_after_ns:
            continue
        if not path.exists() or describe_file(path) != described:
            raise ModelError(
                f"The weight file '{path}' is not the one that the manifest describes (SHA-256 "
                f"{described.sha256[:16]}…): it was changed, replaced or removed.",
                f"Delete '{folder}' and run again: the weights are made anew, and what was "
                "measured with other ones is measured again.",
            )
