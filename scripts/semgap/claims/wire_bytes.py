"""Claims on the TCP payload of whole phases.

Bytes are exact: a comparison holds in every repeat or it fails. The packet capture counts them, or
without one the kernel; a count of any other origin says nothing about the wire and supports no such
claim.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from semgap.claims.claim import Claim
from semgap.claims.evidence import REPEATS_FILE, Evidence
from semgap.claims.outcome import Finding, Status, verdict
from semgap.summary import RepeatRow
from semgap.traffic_rows import KERNEL, TCPDUMP

_COUNTS_THE_WIRE = frozenset({TCPDUMP, KERNEL})


class NoBytes(Claim, frozen=True, kw_only=True, tag="no_bytes"):
    """In these phases these modes move nothing in either direction."""

    phases: tuple[str, ...]
    modes: tuple[str, ...]

    def findings(self, evidence: Evidence) -> Iterable[Finding]:
        """Compare each repeat with 0."""
        for phase, mode in _each(self.phases, self.modes):
            rows = evidence.repeats_of(phase, mode)
            yield _unusable(phase, mode, rows) or _nothing_moved(phase, mode, rows)

    def sources(self) -> tuple[str, ...]:
        """The repeats' rows."""
        return (REPEATS_FILE,)


class MoreBytes(Claim, frozen=True, kw_only=True, tag="more_bytes"):
    """In these phases a mode moves more than another, and at least ``factor`` times as much."""

    phases: tuple[str, ...]
    mode: str
    than: str
    factor: float

    def findings(self, evidence: Evidence) -> Iterable[Finding]:
        """Compare the mode's smallest repeat with the other's largest."""
        for phase in self.phases:
            more = evidence.repeats_of(phase, self.mode)
            less = evidence.repeats_of(phase, self.than)
            yield (
                _unusable(phase, self.mode, more)
                or _unusable(phase, self.than, less)
                or self._compared(phase, more, less)
            )

    def sources(self) -> tuple[str, ...]:
        """The repeats' rows."""
        return (REPEATS_FILE,)

    def _compared(
        self, phase: str, more: Sequence[RepeatRow], less: Sequence[RepeatRow]
    ) -> Finding:
        smallest = min(row.network_bytes for row in more)
        largest = max(row.network_bytes for row in less)
        times = f", {smallest / largest:.4g} times as much" if largest else ""
        return Finding(
            verdict(smallest > largest and smallest >= self.factor * largest),
            f"{phase}: {self.mode} at least {smallest:,} B, {self.than} at most {largest:,} B"
            f"{times} (claimed: ≥ {self.factor:g})",
        )


class SameBytes(Claim, frozen=True, kw_only=True, tag="same_bytes"):
    """In these phases all repeats of a mode move the same bytes.

    Attributes:
        spread: largest accepted (largest − smallest) ÷ largest.
    """

    phases: tuple[str, ...]
    modes: tuple[str, ...]
    spread: float

    def findings(self, evidence: Evidence) -> Iterable[Finding]:
        """Compare the largest repeat with the smallest, in each direction."""
        for phase, mode in _each(self.phases, self.modes):
            rows = evidence.repeats_of(phase, mode)
            yield (
                _unusable(phase, mode, rows)
                or _too_few(phase, mode, rows)
                or self._compared(phase, mode, rows)
            )

    def sources(self) -> tuple[str, ...]:
        """The repeats' rows."""
        return (REPEATS_FILE,)

    def _compared(self, phase: str, mode: str, rows: Sequence[RepeatRow]) -> Finding:
        spread = max(
            _relative_spread([row.network_up_bytes for row in rows]),
            _relative_spread([row.network_down_bytes for row in rows]),
        )
        return Finding(
            verdict(spread <= self.spread),
            f"{phase}: {mode} spread {100 * spread:.3f} % over {len(rows)} repeats "
            f"(claimed: ≤ {100 * self.spread:g} %)",
        )


def _each(phases: Sequence[str], modes: Sequence[str]) -> list[tuple[str, str]]:
    return [(phase, mode) for phase in phases for mode in modes]


def _unusable(phase: str, mode: str, rows: Sequence[RepeatRow]) -> Finding | None:
    if not rows:
        return Finding(Status.NOT_SUPPORTED, f"{phase}: {mode} was not run")
    others = sorted({row.network_source for row in rows} - _COUNTS_THE_WIRE)
    if not others:
        return None
    return Finding(
        Status.NOT_SUPPORTED, f"{phase}: bytes of {mode} were counted by {' and '.join(others)}"
    )


def _too_few(phase: str, mode: str, rows: Sequence[RepeatRow]) -> Finding | None:
    if len(rows) > 1:
        return None
    return Finding(Status.NOT_SUPPORTED, f"{phase}: {mode} was run once")


def _nothing_moved(phase: str, mode: str, rows: Sequence[RepeatRow]) -> Finding:
    largest = max(max(row.network_up_bytes, row.network_down_bytes) for row in rows)
    return Finding(verdict(largest == 0), f"{phase}: {mode} at most {largest:,} B in one direction")


def _relative_spread(values: Sequence[int]) -> float:
    largest = max(values)
    return (largest - min(values)) / largest if largest else 0.0
