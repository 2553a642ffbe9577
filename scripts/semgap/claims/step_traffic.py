"""Claims on the bytes of single steps, as the kernel counted them on the client's sockets.

These counters do not need a capture. Where they show nothing at all they were not read, or what
crossed did not cross through sockets, and no claim is supported.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import linear_regression

from semgap.claims.claim import Claim
from semgap.claims.evidence import MANIFEST_FILE, Evidence, StepBytes, run_files
from semgap.claims.outcome import Finding, Status, verdict

_DECODE = "decode"
_DIRECTIONS = ("up", "down")


class WeightsInEveryStep(Claim, frozen=True, kw_only=True, tag="weights_in_every_step"):
    """In each step of these phases a mode sends at least the model's state dict."""

    phases: tuple[str, ...]
    mode: str

    def findings(self, evidence: Evidence) -> Iterable[Finding]:
        """Compare each phase's smallest step with the weights."""
        for phase in self.phases:
            steps = evidence.steps_of(phase, self.mode)
            yield _uncounted(phase, self.mode, steps) or _all_send(
                phase, self.mode, steps, evidence.weights_bytes
            )

    def sources(self) -> tuple[str, ...]:
        """The mode's run records, and the model's sizes."""
        return (run_files(self.mode), MANIFEST_FILE)


class GrowsByKvCache(Claim, frozen=True, kw_only=True, tag="grows_by_kv_cache"):
    """With each token of context a decode step moves one position of the KV cache more, each way.

    Attributes:
        tolerance: largest accepted |slope ÷ expected slope − 1|.
        step_tolerance_bytes: largest accepted distance of a step from the line through all.
    """

    mode: str
    tolerance: float
    step_tolerance_bytes: int

    def findings(self, evidence: Evidence) -> Iterable[Finding]:
        """Compare slope and straightness in each direction with what the KV cache demands."""
        steps = evidence.steps_of(_DECODE, self.mode)
        unusable = _uncounted(_DECODE, self.mode, steps) or _one_context(self.mode, steps)
        if unusable:
            yield unusable
            return
        expected = evidence.kv_cache_bytes_per_token
        for direction in _DIRECTIONS:
            line = _Line(steps, direction)
            near = abs(line.slope - expected) <= self.tolerance * expected
            straight = line.farthest_bytes <= self.step_tolerance_bytes
            yield Finding(
                verdict(near and straight),
                f"{self.mode} {direction}: {line.slope:,.1f} B a token (claimed: {expected:,} B "
                f"± {100 * self.tolerance:g} %), steps within {line.farthest_bytes:,.0f} B of the "
                f"line (claimed: ≤ {self.step_tolerance_bytes:,} B)",
            )

    def sources(self) -> tuple[str, ...]:
        """The mode's run records, and the model's sizes."""
        return (run_files(self.mode), MANIFEST_FILE)


class DoesNotGrow(Claim, frozen=True, kw_only=True, tag="does_not_grow"):
    """A decode step's bytes do not depend on the length of the context.

    Attributes:
        bytes_per_token: largest accepted slope of either direction, rising or falling.
    """

    mode: str
    bytes_per_token: float

    def findings(self, evidence: Evidence) -> Iterable[Finding]:
        """Compare the slope of each direction with the bound."""
        steps = evidence.steps_of(_DECODE, self.mode)
        unusable = _uncounted(_DECODE, self.mode, steps) or _one_context(self.mode, steps)
        if unusable:
            yield unusable
            return
        for direction in _DIRECTIONS:
            slope = _Line(steps, direction).slope
            yield Finding(
                verdict(abs(slope) <= self.bytes_per_token),
                f"{self.mode} {direction}: {slope:,.1f} B a token "
                f"(claimed: ≤ {self.bytes_per_token:g} B)",
            )

    def sources(self) -> tuple[str, ...]:
        """The mode's run records."""
        return (run_files(self.mode),)


class _Line:
    """The least-squares line of a direction's bytes over the context length."""

    def __init__(self, steps: Sequence[StepBytes], direction: str) -> None:
        context = [step.context_tokens for step in steps]
        moved = [_bytes(step, direction) for step in steps]
        self.slope, intercept = linear_regression(context, moved)
        self.farthest_bytes = max(
            abs(y - (intercept + self.slope * x)) for x, y in zip(context, moved, strict=True)
        )


def _bytes(step: StepBytes, direction: str) -> int:
    return {"up": step.up_bytes, "down": step.down_bytes}[direction]


def _uncounted(phase: str, mode: str, steps: Sequence[StepBytes]) -> Finding | None:
    if not steps:
        return Finding(Status.NOT_SUPPORTED, f"{phase}: {mode} was not run")
    if any(sum(_bytes(step, direction) for step in steps) == 0 for direction in _DIRECTIONS):
        return Finding(
            Status.NOT_SUPPORTED, f"{phase}: the socket counters of {mode} show no bytes"
        )
    return None


def _one_context(mode: str, steps: Sequence[StepBytes]) -> Finding | None:
    if len({step.context_tokens for step in steps}) > 2:
        return None
    return Finding(
        Status.NOT_SUPPORTED, f"{mode}: a line needs decode steps at three context lengths"
    )


def _all_send(phase: str, mode: str, steps: Sequence[StepBytes], weights_bytes: int) -> Finding:
    smallest = min(step.up_bytes for step in steps)
    return Finding(
        verdict(smallest >= weights_bytes),
        f"{phase}: {mode} sends at least {smallest:,} B in each of {len(steps)} steps "
        f"(claimed: ≥ {weights_bytes:,} B)",
    )
