"""Measures all contenders on one link, taking turns, so that noise meets all of them alike."""

import contextlib
import itertools
import logging
import multiprocessing
import os
import random
import socket
import time
from collections.abc import Collection, Iterator, Sequence
from multiprocessing.synchronize import Event
from pathlib import Path

import torch

from semgap.errors import MeasurementError
from semgap.linkbench.contenders.contender import ACKNOWLEDGEMENT_BYTES, TIMEOUT_S, Contender, Link
from semgap.linkbench.contenders.iperf3 import iperf3_goodput
from semgap.linkbench.contenders.known import contenders
from semgap.linkbench.contenders.payload import Payload
from semgap.linkbench.link_settings import LinkJob
from semgap.linkbench.rates import settled
from semgap.linkbench.samples import LinkFacts, TimeSample, WireSample
from semgap.linkbench.wire import captured_exchanges
from semgap.measurement.machine import describe_machine
from semgap.model.device import open_device
from semgap.plumbing.processes import die_with_parent
from semgap.plumbing.tcp_sockets import congestion_control_of, free_port, prefer_unpaced
from semgap.plumbing.versions import versions

log = logging.getLogger(__name__)

# A decode step's logits, nearly.
_ROUND_TRIP_REPLY_BYTES = 200_000

_SMALLEST_MESSAGE_BYTES = 1_000
_STEPS_IN_A_THOUSAND = (1, 4, 16, 64, 256)
_ROUND_BYTES = 64_000_000
# Also of the largest: the first one of a turn finds both sides asleep.
_MIN_MESSAGES = 3
_MAX_MESSAGES = 64
# Longer than any peer looks for its next message before it sleeps: peers may share a core.
_BETWEEN_TURNS_S = 0.002
_ROUND_TRIPS_IN_TURN = 50
_SETTLED_WITHIN = 0.05


def measure_link(
    job: LinkJob, scratch: Path
) -> tuple[list[TimeSample], list[WireSample], LinkFacts]:
    """Measure goodput by message size, round trips, and bytes on the wire.

    Args:
        scratch: a folder for the capture, which is not kept.

    Raises:
        MeasurementError: a contender's peer did not start.
    """
    host = describe_machine("")
    client_cores, peer_cores = _sides()
    keep_to(client_cores)
    sizes = message_sizes(job.link.max_message_bytes)
    payload = Payload(sizes[-1])
    chosen = contenders()
    order = random.Random(0)
    times: list[TimeSample] = []
    iperf3: list[float] = []
    congestion_controls = _congestion_controls()
    with contextlib.ExitStack() as stack:
        links = {
            each.name: stack.enter_context(connected(each, job, peer_cores)) for each in chosen
        }
        deadline_s = time.monotonic() + job.link.time_budget_s
        for index in itertools.count():
            enough = index > job.link.rounds
            if enough and (time.monotonic() > deadline_s or settled(times, _SETTLED_WITHIN)):
                break
            log.info("round %s, of at least %s", index, job.link.rounds)
            samples = [
                *_goodput_round(links, payload, sizes, index, order),
                *_round_trips(links, job.link.round_trips // job.link.rounds, index, order),
            ]
            if index:  # the first round touches all memory for the first time
                times.extend(samples)
                goodput = iperf3_goodput(
                    job.host, free_port(job.host), congestion_controls[0], peer_cores
                )
                iperf3.extend([] if goodput is None else [goodput])
        wire, reason = captured_exchanges(links, payload, job.link.rounds, job.interface, scratch)
    facts = LinkFacts(
        contenders=tuple(each.name for each in chosen),
        host=job.host,
        cpu=host.cpu,
        cores=host.cores,
        kernel=host.kernel,
        device=job.device,
        torch=versions().torch,
        congestion_control=congestion_controls[0],
        system_congestion_control=congestion_controls[1],
        iperf3_bytes_per_s=tuple(iperf3),
        no_wire_samples=reason,
    )
    return times, wire, facts


def message_sizes(largest_bytes: int) -> list[int]:
    """Sizes from 1 KB up, each about four times the one before, and the largest itself."""
    sizes = []
    thousand = _SMALLEST_MESSAGE_BYTES
    while thousand < largest_bytes:
        sizes += [
            step * thousand for step in _STEPS_IN_A_THOUSAND if step * thousand < largest_bytes
        ]
        thousand *= 1_000
    return [*sizes, largest_bytes]


def _goodput_round(
    links: dict[str, Link], payload: Payload, sizes: Sequence[int], index: int, order: random.Random
) -> Iterator[TimeSample]:
    for size_bytes in sizes:
        message = payload.message(size_bytes)
        messages = max(_MIN_MESSAGES, min(_MAX_MESSAGES, _ROUND_BYTES // size_bytes))
        for name, link in order.sample(list(links.items()), len(links)):
            time.sleep(_BETWEEN_TURNS_S)
            begin_s = time.perf_counter()
            for _ in range(messages):
                link.exchange(message, ACKNOWLEDGEMENT_BYTES)
            mean_s = (time.perf_counter() - begin_s) / messages
            yield TimeSample(name, size_bytes, ACKNOWLEDGEMENT_BYTES, index, mean_s)


def _round_trips(
    links: dict[str, Link], count: int, index: int, order: random.Random
) -> Iterator[TimeSample]:
    nothing = torch.empty(0, dtype=torch.uint8)
    for _ in range(max(1, count // _ROUND_TRIPS_IN_TURN)):
        for name, link in order.sample(list(links.items()), len(links)):
            time.sleep(_BETWEEN_TURNS_S)
            for _ in range(_ROUND_TRIPS_IN_TURN):
                begin_s = time.perf_counter()
                link.exchange(nothing, _ROUND_TRIP_REPLY_BYTES)
                taken_s = time.perf_counter() - begin_s
                yield TimeSample(name, 0, _ROUND_TRIP_REPLY_BYTES, index, taken_s)


@contextlib.contextmanager
def connected(contender: Contender, job: LinkJob, peer_cores: Collection[int]) -> Iterator[Link]:
    """A link to a peer in a process of its own, on cores of its own."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    port = free_port(job.host)
    peer = context.Process(
        target=_serve, args=(contender, job, port, peer_cores, ready), name=contender.name
    )
    peer.start()
    try:
        if not _wait_until_ready(ready, peer):
            raise MeasurementError(
                f"The peer of '{contender.name}' did not start.",
                "Its traceback is in this job's log; repair or uninstall that library.",
            )
        link = contender.connect(job.host, port)
        yield link
        link.close()
        peer.join(TIMEOUT_S)
    finally:
        peer.kill()
        peer.join()


def _serve(
    contender: Contender, job: LinkJob, port: int, cores: Collection[int], ready: Event
) -> None:
    die_with_parent()
    keep_to(cores)
    device = open_device(job.device).torch_device
    contender.serve(job.host, port, device, ready.set)


def _sides() -> tuple[Collection[int], Collection[int]]:
    """Cores for the client and for the peers: different ones, as two hosts have.

    Otherwise the scheduler puts some contenders' two processes on one core, where a round trip
    needs no other core to wake up, and others' not.
    """
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0::2], cores[1::2]) if len(cores) > 1 else (cores, cores)


def keep_to(cores: Collection[int]) -> None:
    """Run this process on these cores."""
    torch.set_num_threads(1)
    os.sched_setaffinity(0, cores)


def _wait_until_ready(ready: Event, peer: multiprocessing.process.BaseProcess) -> bool:
    deadline_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline_s and peer.is_alive():
        if ready.wait(0.1):
            return True
    return ready.is_set()


def _congestion_controls() -> tuple[str, str]:
    """The one that is chosen here, and the system's own."""
    with socket.socket() as probe:
        system = congestion_control_of(probe)
        return prefer_unpaced(probe), system
