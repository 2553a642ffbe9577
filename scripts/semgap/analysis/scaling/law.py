"""A law for the latency of a step, its constants fitted from measured points.

    step = compute + message + bytes x max(wire / rate, host) + round trips x round trip
    compute = bytes read / memory's rate + operations / processor's rate + the mode's more

A host copies while the wire sends, so the slower of both counts: the wire at points with a rate,
the hosts at those without one. All is then linear in the constants, none of which can be negative:
Lawson and Hanson, "Solving least squares problems", 1974. Each equation is divided by what was
measured, so that all count alike.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from scipy.optimize import nnls

from semgap.analysis.numbers.comparison import BASELINE_MODE
from semgap.analysis.scaling.points import Link, Load, Point
from semgap.errors import MeasurementError

Place = tuple[str, str]  # mode, phase


@dataclass(frozen=True)
class Law:
    """The constants. A step is one request and its reply, so round trips are one at least."""

    memory_s_per_byte: float
    compute_s_per_flop: float
    in_process_s: float  # beside the computation, where nothing crosses
    message_s: float
    wire_bytes_per_byte: float
    host_s_per_byte: float
    more_compute_s: Mapping[Place, float]  # compute − Local's: what comes has to be placed first
    round_trips: Mapping[Place, float]  # those of a TCP connection that starts slowly included

    def compute_s(self, place: Place, load: Load) -> float:
        """How long a step computes."""
        return (
            self.memory_s_per_byte * load.memory_bytes
            + self.compute_s_per_flop * load.flops
            + self.more_compute_s[place]
        )

    def beside_s(self, place: Place, load: Load, link: Link) -> float:
        """What a step takes beside its computation."""
        if not load.crossing_bytes:
            return self.in_process_s
        return (
            self.message_s
            + max(
                self.wire_bytes_per_byte * _wire_s(load, link),
                self.host_s_per_byte * load.crossing_bytes,
            )
            + self.round_trips[place] * link.round_trip_ms / 1e3
        )

    def with_ideal_hosts(self) -> "Law":
        """The same where hosts keep up with any wire."""
        return replace(self, host_s_per_byte=0.0)

    def step_s(self, place: Place, load: Load, link: Link) -> float:
        """Latency of a step."""
        return self.compute_s(place, load) + self.beside_s(place, load, link)


@dataclass(frozen=True)
class Held:
    """A point beside what a law says that was fitted without its experiment."""

    point: Point
    computed_s: float
    with_its_compute_s: float  # the same with the compute that was measured there

    @property
    def error(self) -> float:
        """Of what was measured."""
        return self.computed_s / self.point.latency_s - 1

    @property
    def error_beside_compute(self) -> float:
        """Of what was measured, if how fast the processor was there is given."""
        return self.with_its_compute_s / self.point.latency_s - 1


def fit(points: Sequence[Point]) -> Law:
    """Fit all constants.

    Raises:
        MeasurementError: no point is of the mode that everything is compared with.
    """
    base = [point for point in points if point.mode == BASELINE_MODE]
    if not base:
        raise MeasurementError(
            f"No point has the mode '{BASELINE_MODE}', whose compute the law starts from.",
            f"Name '{BASELINE_MODE}' in modes, and measure again.",
        )
    memory, flop = _solved(
        [[one.load.memory_bytes, one.load.flops] for one in base],
        [one.compute_s for one in base],
        [one.compute_s for one in base],
    )
    more_compute_s = {
        place: median(
            one.compute_s - memory * one.load.memory_bytes - flop * one.load.flops for one in each
        )
        for place, each in _by_place(points).items()
    }
    crossing = [one for one in points if one.load.crossing_bytes]
    places = list(_by_place(crossing))
    solved = _solved(
        [
            [
                1.0,
                _wire_s(one.load, one.link),
                one.load.crossing_bytes if one.link.rate_gbit is None else 0.0,
                *(one.link.round_trip_ms / 1e3 * (one.place == place) for place in places),
            ]
            for one in crossing
        ],
        [
            max(one.latency_s - one.compute_s - one.link.round_trip_ms / 1e3, 0.0)
            for one in crossing
        ],
        [one.latency_s for one in crossing],
    )
    message, wire, host, *more = solved
    return Law(
        memory,
        flop,
        median(one.latency_s - one.compute_s for one in base),
        message,
        # Without a rate at any point nothing tells; what the wire adds to the bytes is little.
        wire or 1.0,
        # Nor how fast the hosts are, where each point has one; but each run timed plain sockets.
        host or median([one.socket_s_per_byte for one in crossing] or [0.0]),
        more_compute_s,
        {place: 1.0 + value for place, value in zip(places, more, strict=True)},
    )


def held_out(points: Sequence[Point]) -> list[Held]:
    """Each point beside the law of all other experiments."""
    found = []
    for experiment in dict.fromkeys(point.experiment for point in points):
        others = [point for point in points if point.experiment != experiment]
        known = {point.place for point in others}
        if BASELINE_MODE not in {mode for mode, _phase in known}:
            continue
        law = fit(others)
        for point in points:
            if point.experiment == experiment and point.place in known:
                beside_s = law.beside_s(point.place, point.load, point.link)
                compute_s = law.compute_s(point.place, point.load)
                found.append(Held(point, compute_s + beside_s, point.compute_s + beside_s))
    return found


def _wire_s(load: Load, link: Link) -> float:
    """How long the content takes on the wire, both ways, without what the wire adds to it."""
    if link.rate_gbit is None:
        return 0.0
    shaped = (max(size - link.burst_bytes, 0.0) for size in (load.up_bytes, load.down_bytes))
    return sum(shaped) * 8e-9 / link.rate_gbit


def _by_place(points: Iterable[Point]) -> dict[Place, list[Point]]:
    found: dict[Place, list[Point]] = {}
    for point in points:
        found.setdefault(point.place, []).append(point)
    return found


def _solved(
    rows: Sequence[Sequence[float]], values: Sequence[float], measured: Sequence[float]
) -> list[float]:
    """The constants, none negative, that make rows × constants nearest to the values."""
    if not rows:
        return [0.0] * 3
    weight = 1 / np.array(measured)
    matrix = np.array(rows) * weight[:, None]
    # The columns are of very different sizes.
    scale = np.maximum(matrix.max(axis=0), np.finfo(float).tiny)
    constants, _residual = nnls(matrix / scale, np.array(values) * weight)
    # As many digits as are the same on any processor.
    return [float(f"{one:.6g}") for one in constants / scale]
