"""A page that computes any point of a sweep's law, and needs nothing beside itself."""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from semgap.analysis.numbers.comparison import BASELINE_MODE
from semgap.analysis.numbers.numbers import PHASES
from semgap.analysis.scaling.findings import NEAR, Findings
from semgap.analysis.scaling.points import TOKEN_BYTES, Shape, placements_of
from semgap.placements import Content, load_placement
from semgap.policy import Policy

_PAGE = Path(__file__).with_suffix(".html")


def explorer(found: Findings, shapes: Sequence[Shape]) -> str:
    """The page, which starts with the sweep's own model."""
    law = asdict(found.law)
    for name in ("more_compute_s", "round_trips"):
        law[name] = {"/".join(place): value for place, value in law[name].items()}
    data = {
        "law": law,
        "near": NEAR,
        "baseline": BASELINE_MODE,
        "phases": PHASES,
        "tokenBytes": TOKEN_BYTES,
        "modes": [
            {"mode": mode, "label": label.text, **_crossing_of(found.policies[mode])}
            for mode, label in found.labels.items()
            if found.policies[mode].encoding is None  # of which arithmetic says the bytes
        ],
        "shapes": [shape._asdict() for shape in (found.shape, *shapes)],
        "measured": [
            {
                "mode": point.mode,
                "phase": point.phase,
                "prompt": point.prompt_tokens,
                "rate": point.link.rate_gbit,
                "roundTrip": point.link.round_trip_ms,
                "latency": point.latency_s,
            }
            for point in found.points
        ],
    }
    return (
        _PAGE.read_text(encoding="utf-8")
        .replace("{{title}}", html.escape(found.name))
        .replace("{{machine}}", html.escape(found.machine))
        # Within a script, "</" would end it.
        .replace("{{data}}", json.dumps(data).replace("</", "<\\/"))
    )


def _crossing_of(policy: Policy) -> Mapping[str, Any]:
    """For each class, the bytes up and down per byte of what a placement is asked about.

    Placements are linear in what was there before the step, known before it, and is there after it.
    """
    units = [Content(*(int(place == unit) for place in range(3))) for unit in range(3)]
    found: dict[str, dict[str, list[int]]] = {"up": {}, "down": {}}
    for name, placement in placements_of(policy).items():
        for unit in units:
            crossing = load_placement(placement).crossing(unit)
            found["up"].setdefault(name, []).append(crossing.up)
            found["down"].setdefault(name, []).append(crossing.down)
    return found
