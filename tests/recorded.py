"""Recorded experiments as the workflow leaves one, from their archives."""

import functools
import tempfile
from pathlib import Path

from semgap.analysis import publish
from semgap.maintain.archive import REFERENCE, SUFFIX, unpack
from semgap.maintain.reference_results import evidence_in

_FOLDER = tempfile.TemporaryDirectory(prefix="recorded-")


@functools.cache
def unpacked(name):
    """A folder with run records, traffic and numbers."""
    folder = Path(_FOLDER.name) / name
    unpack(REFERENCE / name, folder)
    files = [folder / f"{stem}.csv" for stem in publish.NUMBERS]
    publish.write_numbers(publish.numbers(evidence_in(folder)), files)
    return folder


@functools.cache
def numbers_of(name):
    """Its numbers, judged by today's claims."""
    return publish.numbers(evidence_in(unpacked(name)))


def sweep_of(name):
    """The numbers of a recorded sweep's points."""
    files = sorted((REFERENCE / name).glob(f"*{SUFFIX}"))
    return [numbers_of(f"{name}/{file.name}") for file in files]
