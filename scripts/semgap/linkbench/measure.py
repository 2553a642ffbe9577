"""Measures all contenders on one link in turns, so that noise affects all of them alike."""

import contextlib
import importlib.util
import itertools
import logging
import multiprocessing
import os
import random
import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path

import torch
from torch import Tensor

from semgap.errors import MeasurementError
from semgap.linkbench.contenders import (
    ACKNOWLEDGEMENT_BYTES,
    CEILING,
    TIMEOUT_S,
    Contender,
    Link,
    gloo,
    plain_sockets,
    through_transport,
)
from semgap.linkbench.contenders.iperf3 import iperf3_goodput
from semgap.linkbench.link_settings import LinkJob
from semgap.linkbench.rates import LinkFacts, TimeSample, WireSample, known_within
from semgap.linkbench.wire import captured_exchanges
from semgap.model.device import open_device
from semgap.plumbing.processes import die_with_parent
from semgap.plumbing.provenance import describe_machine
from semgap.plumbing.registry import names_in
from semgap.plumbing.tcp_sockets import congestion_control_of, free_port, prefer_unpaced
from semgap.plumbing.versions import versions

log = logging.getLogger(__name__)

# About the size of a decode step's logits.
_ROUND_TRIP_REPLY_BYTES = 200_000

_SMALLEST_MESSAGE_BYTES = 1_000
_STEPS_IN_A_THOUSAND = (1, 4, 16, 64, 256)
_ROUND_BYTES = 64_000_000
# Also for the largest size, since the first message of a turn wakes both sides up.
_MIN_MESSAGES = 3
_MAX_MESSAGES = 64
# Longer than any peer polls before it sleeps, since peers may share a core.
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
    machine = describe_machine("")
    # Different cores for the two sides, as two hosts have. Otherwise the scheduler puts some
    # contenders' processes on one core, where a round trip needs no other core to wake up.
    cores = sorted(os.sched_getaffinity(0))
    client_cores, peer_cores = (cores[0::2], cores[1::2]) if len(cores) > 1 else (cores, cores)
    _keep_to(client_cores)
    with socket.socket() as probe:
        system_congestion_control = congestion_control_of(probe)
        congestion_control = prefer_unpaced(probe)
    link = job.link
    # Ones, since zeros that were never written share one physical page.
    memory = torch.ones(link.max_message_bytes, dtype=torch.uint8).numpy()

    def message_of(size_bytes: int) -> Tensor:
        # Its storage is no larger than itself: PyTorch RPC copies a small part of a storage before
        # it sends it, and no weight of a step is such a part.
        return torch.frombuffer(memory, dtype=torch.uint8, count=size_bytes)

    messages = [message_of(size) for size in message_sizes(link.max_message_bytes)]
    order = random.Random(0)
    times: list[TimeSample] = []
    iperf3: list[float] = []
    chosen = contenders()
    with contextlib.ExitStack() as stack:
        links = {
            each.name: stack.enter_context(connected(each, job, peer_cores)) for each in chosen
        }
        deadline_s = time.monotonic() + link.time_budget_s
        for index in itertools.count():
            enough = index > link.rounds
            if enough and (time.monotonic() > deadline_s or known_within(times, _SETTLED_WITHIN)):
                break
            log.info("round %s, of at least %s", index, link.rounds)
            samples = [
                *_goodput_round(links, messages, index, order),
                *_round_trips(links, link.round_trips // link.rounds, index, order),
            ]
            if index:  # the first round touches all memory for the first time
                times.extend(samples)
                port = free_port(job.host)
                goodput = iperf3_goodput(job.host, port, congestion_control, peer_cores)
                iperf3.extend([] if goodput is None else [goodput])
        wire, reason = captured_exchanges(
            links, message_of, link.max_message_bytes, link.rounds, job.interface, scratch
        )
    facts = LinkFacts(
        contenders=tuple(each.name for each in chosen),
        host=job.host,
        machine=machine,
        device=job.device,
        torch=versions().torch,
        congestion_control=congestion_control,
        system_congestion_control=system_congestion_control,
        iperf3_bytes_per_s=tuple(iperf3),
        no_wire_samples=reason,
    )
    return times, wire, facts


def contenders() -> list[Contender]:
    """All contenders that this machine has, in the order of the report."""
    variants = [
        (CEILING, plain_sockets, prefer_unpaced),
        ("plain sockets, system's congestion control", plain_sockets, congestion_control_of),
        *((name, through_transport, name) for name in names_in("transport")),
    ]
    chosen = [
        Contender(name, partial(module.serve, variant), partial(module.connect, variant))
        for name, module, variant in variants
    ]
    chosen.append(Contender("gloo", gloo.serve, gloo.connect))
    if importlib.util.find_spec("zmq") is not None:
        from semgap.linkbench.contenders import zeromq

        chosen.append(Contender("ZeroMQ", zeromq.serve, zeromq.connect))
    return chosen


def message_sizes(largest_bytes: int) -> list[int]:
    """Sizes from 1 KB up, each about four times the one before, and the largest itself."""
    thousands = (_SMALLEST_MESSAGE_BYTES * 1_000**power for power in itertools.count())
    sizes = (step * thousand for thousand in thousands for step in _STEPS_IN_A_THOUSAND)
    return [*itertools.takewhile(lambda size: size < largest_bytes, sizes), largest_bytes]


def _goodput_round(
    links: Mapping[str, Link], messages: Sequence[Tensor], index: int, order: random.Random
) -> Iterator[TimeSample]:
    for message in messages:
        count = max(_MIN_MESSAGES, min(_MAX_MESSAGES, _ROUND_BYTES // message.nbytes))
        for name, link in order.sample(list(links.items()), len(links)):
            time.sleep(_BETWEEN_TURNS_S)
            begin_s = time.perf_counter()
            for _ in range(count):
                link.exchange(message, ACKNOWLEDGEMENT_BYTES)
            mean_s = (time.perf_counter() - begin_s) / count
            yield TimeSample(name, message.nbytes, ACKNOWLEDGEMENT_BYTES, index, mean_s)


def _round_trips(
    links: Mapping[str, Link], count: int, index: int, order: random.Random
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
        deadline_s = time.monotonic() + TIMEOUT_S
        while not ready.wait(0.1):
            if not peer.is_alive() or time.monotonic() > deadline_s:
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
    _keep_to(cores)
    contender.serve(job.host, port, open_device(job.device).torch_device, ready.set)


def _keep_to(cores: Collection[int]) -> None:
    """Run this process on these cores."""
    torch.set_num_threads(1)
    os.sched_setaffinity(0, cores)
