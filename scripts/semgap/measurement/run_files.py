"""What a job writes beside its record, which names their digests."""

import io
from pathlib import Path

import numpy as np
from msgspec import structs

from semgap.measurement.run_record import RunRecord
from semgap.plumbing.files import digest_of, write_atomically


def write_logits(file: Path, logits: np.ndarray) -> None:
    """Write logits, float32 of shape (steps, vocabulary), as .npy."""
    content = io.BytesIO()
    np.save(content, logits)
    write_atomically(file, content.getvalue())


def with_digests(record: RunRecord, logits: Path, capture: Path) -> RunRecord:
    """The record, which names the files that were written with it."""
    return structs.replace(
        record, logits_sha256=digest_of(logits), capture_sha256=digest_of(capture)
    )
