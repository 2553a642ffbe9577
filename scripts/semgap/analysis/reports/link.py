"""The notes on what is between client and worker: the link, and their clocks."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import median

from semgap.inference.steps import LinkSeen
from semgap.measurement.run_record import RunRecord
from semgap.server.network_namespace import burst_bytes


def link_notes(records: Sequence[RunRecord]) -> Iterator[str]:
    """What the link was asked to be, and what the runs saw of it."""
    seen = [record.link_seen for record in records if record.link_seen]
    if not seen:
        return
    shape = next((record.link for record in records if record.link), None)
    on_loopback = records[0].capture.interface == "lo"
    made = "this machine's loopback" if on_loopback else "made by the user"
    if any(record.worker_host for record in records):
        made = "the network between the two machines"
    if shape:
        made = "a pair of interfaces on this machine"
    if shape and shape.rate_gbit:
        unshaped = burst_bytes(shape.rate_gbit)
        made += (
            f", each way shaped to {shape.rate_gbit:g} Gbit/s (what fits into "
            f"{unshaped / 1e6:.3g} MB passes at once, unshaped: so does each message of "
            f"{_those_within(unshaped, records)})"
        )
    if shape and shape.round_trip_ms:
        made += f", and delayed so that a round trip takes {shape.round_trip_ms:g} ms"
    up, down = (8e-9 * median(rates) for rates in zip(*map(_rates, seen), strict=True))
    yield (
        f"Link: {made}; through the transport, in each run: an empty request and its reply "
        f"{1e3 * median(one.round_trip_s for one in seen):.3g} ms, goodput {up:.3g} Gbit/s up and "
        f"{down:.3g} Gbit/s down (medians)."
    )


def _those_within(size_bytes: int, records: Sequence[RunRecord]) -> str:
    """The phases of modes none of whose messages has more content than ``size_bytes``."""
    largest: dict[str, int] = defaultdict(int)
    for record in records:
        if record.link is not None:
            for phase in record.phases[1:]:
                sizes = (max(one.crossed_up_bytes, one.crossed_down_bytes) for one in phase.steps)
                name = f"{record.mode}'s {phase.name}"
                largest[name] = max(largest[name], *sizes)
    return ", ".join(name for name, size in largest.items() if size <= size_bytes) or "no phase"


def _rates(seen: LinkSeen) -> tuple[float, float]:
    return seen.up_bytes_per_s, seen.down_bytes_per_s


def place_of_client(records: Sequence[RunRecord]) -> str:
    """Where the client is, seen from the worker."""
    other = next((one for one in records if one.worker_host), None)
    if other is None:
        return "client and worker share one machine"
    machine = other.machine
    return f"the client is on another machine ({machine.cpu}, {machine.cores:g} cores)"


def limit_of_link(records: Sequence[RunRecord]) -> str:
    """How far what carried the bytes is from a network."""
    if any(record.worker_host for record in records):
        return "two hosts and the network between them"
    emulated = any(record.link for record in records)
    return "a single node, " + ("an emulated link" if emulated else "no real network link")


def clock_notes(records: Sequence[RunRecord]) -> Iterator[str]:
    """How the clocks of two machines were related."""
    clocks = [record.clocks for record in records if record.clocks]
    if clocks:
        bound_s = max(one.bound_ns for one in clocks) / 1e9
        drift_ppm = max(abs(one.drift_ppm) for one in clocks)
        yield (
            "The worker has a clock of its own, which ran at the client's rate within "
            f"{drift_ppm:.3g} ppm; round trips relate them. Sending and receiving are known "
            f"together; their parts are known within ± {1e6 * bound_s:.3g} µs."
        )
