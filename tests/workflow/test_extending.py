"""docs/extend.md does what it says, executed as it stands there."""

from __future__ import annotations

import numpy as np

from experiment import DECODE_STEPS


def test_a_mode_and_a_placement_are_added_as_the_documentation_says(extended):
    table = (extended.folder / "results" / "table.md").read_text()
    assert table.count("Semantic-Blind, Deltas") == 2
    local, half = (
        np.load(extended.results / "runs" / mode / "rep1.logits.npy") for mode in ("local", "half")
    )
    assert half.shape == (1 + DECODE_STEPS, 500)
    assert 0 < np.abs(local - half).max() < 1e-3
