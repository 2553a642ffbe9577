"""What a sweep found: its points, the law that fits them, and how far it is off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from semgap.analysis.numbers.comparison import BASELINE_MODE
from semgap.analysis.numbers.numbers import Numbers
from semgap.analysis.scaling.law import Held, Law, fit, held_out
from semgap.analysis.scaling.points import Link, Load, Point, Shape, load_of, points_in, shape_of
from semgap.errors import MeasurementError
from semgap.policy import Label, Policy

# From here on a mode counts as fast as Local.
NEAR = 1.1


@dataclass(frozen=True)
class Findings:
    """A sweep's results."""

    name: str
    machine: str
    labels: Mapping[str, Label]
    policies: Mapping[str, Policy]
    shape: Shape
    points: Sequence[Point]
    law: Law
    held: Sequence[Held]

    @property
    def prompts(self) -> Sequence[int]:
        """The lengths of the prompts, in tokens."""
        return sorted({point.prompt_tokens for point in self.points})

    @property
    def remote(self) -> Sequence[str]:
        """The modes in which anything crosses."""
        return [mode for mode in self.labels if mode != BASELINE_MODE]

    def load(
        self, phase: str, mode: str, shape: Shape, prompt_tokens: int, sequences: int = 1
    ) -> Load:
        """By arithmetic: a step of any model."""
        return load_of(self.policies[mode], shape, phase, prompt_tokens, sequences)

    def step_s(
        self,
        place: tuple[str, str],
        shape: Shape,
        prompt_tokens: int,
        link: Link,
        sequences: int = 1,
    ) -> float:
        """By the law: a step's latency, of any model and over any link."""
        mode, phase = place
        load = self.load(phase, mode, shape, prompt_tokens, sequences)
        return self.law.step_s(place, load, link)

    def rate_from_which_near(
        self, mode: str, shape: Shape, prompt_tokens: int, round_trip_ms: float, sequences: int = 1
    ) -> float | None:
        """The least rate (Gbit/s) at which a decode step is near Local's; None if none is."""
        asked = shape, prompt_tokens, Link(None, round_trip_ms), sequences
        local_s = self.step_s((BASELINE_MODE, "decode"), *asked)
        slack_s = NEAR * local_s - self.step_s((mode, "decode"), *asked)
        if slack_s < 0:
            return None
        moved = self.load("decode", mode, shape, prompt_tokens, sequences).crossing_bytes
        on_wire = 8e-9 * self.law.wire_bytes_per_byte * moved
        return on_wire / (slack_s + self.law.host_s_per_byte * moved)


def findings_of(name: str, sweep: Sequence[Numbers]) -> Findings:
    """Fit and check the law of a sweep's finished experiments.

    Raises:
        MeasurementError: experiments of one model and prompt gave other tokens, or too few modes
            were measured for a law.
    """
    _check_same_tokens(sweep)
    points = points_in(sweep)
    first = sweep[0]
    labels = {mode: label for numbers in sweep for mode, label in numbers.labels.items()}
    machine = first.records[0].computed_on.machine
    return Findings(
        name,
        f"{machine.gpu or machine.cpu}, {machine.cores:g} cores",
        labels,
        {record.mode: record.policy for numbers in sweep for record in numbers.records},
        shape_of(first.manifest, max(point.prompt_tokens for point in points)),
        points,
        fit(points),
        held_out(points),
    )


def _check_same_tokens(sweep: Sequence[Numbers]) -> None:
    seen: dict[tuple[str, str, str], tuple[str, tuple[int, ...]]] = {}
    for numbers in sweep:
        name = numbers.expectation.experiment
        for record in numbers.records:
            engine = record.settings.worker.engine
            same = record.model_fingerprint, record.prompt_sha256, engine
            other, tokens = seen.setdefault(same, (name, record.token_ids))
            common = min(len(tokens), len(record.token_ids))
            if tokens[:common] != record.token_ids[:common]:
                raise MeasurementError(
                    f"{record.name} of {name} answered {record.token_ids}, {other} {tokens}: the "
                    "same model and prompt.",
                    "Measure both points again; if it happens again, a link changes what is sent.",
                )
