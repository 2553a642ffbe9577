"""What a benchmark job measures: a session, ready for setup, and the executor of its steps."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from semgap import protocol
from semgap.execution import Executor, GenerationLimits, load_executor
from semgap.inference.client import InferenceClient
from semgap.inference.link import measure_link, measure_offset
from semgap.inference.steps import LinkSeen
from semgap.measurement.job_settings import BenchmarkSettings
from semgap.model.manifest import Manifest
from semgap.plumbing.clocks import Offset
from semgap.policy import Policy, WorkerPlace
from semgap.session import Session, load_session_module


class MeteredWorker(Protocol):
    """The far side of a session, asked for what its meters read."""

    def start_meters(
        self, around_phase: Sequence[str], around_passes: Sequence[str]
    ) -> protocol.Done:
        """Start meters on the worker's host: now, and around each forward pass."""
        ...

    def read_meters(self) -> protocol.MetersRead:
        """Stop the worker's meters; the reply carries their readings."""
        ...


@dataclass(frozen=True)
class Subject:
    """Executor and far side of a session, and what was found out about them so far."""

    session: Session
    worker: MeteredWorker
    executor: Executor
    # gpu_uuid, gpu_name: of the GPU that computes; empty where a CPU does
    gpu_uuid: str = ""
    gpu_name: str = ""
    # bounds how far the worker's clock is ahead; None where both read one clock
    measure_offset: Callable[[], Offset] | None = None
    offset_before: Offset | None = None
    # times empty requests and large ones; None where no request of ours crosses a network
    measure_link: Callable[[], LinkSeen] | None = None


Opened = Callable[[Callable[[str], None]], AbstractContextManager[Subject]]
"""Opens a subject, which ends with the block; takes what tells the user how far it is."""


@contextlib.contextmanager
def opened_policy(
    say: Callable[[str], None],
    policy: Policy,
    settings: BenchmarkSettings,
    endpoint_file: Path | None,
    manifest: Manifest,
    weights: Sequence[Tensor],
) -> Iterator[Subject]:
    """A worker of ours, as the policy says.

    Args:
        endpoint_file: describes the server, if the mode needs one.

    Raises:
        ServerError, WorkerLostError, RemoteError: the worker could not do its part.
    """
    module = load_session_module(policy.worker)
    with module.open_session(settings.worker, endpoint_file, policy.encoding) as session:
        channel = session.channel
        assert channel is not None, "a worker of ours has one"
        client = InferenceClient(channel, policy, manifest, weights)
        say("the worker builds the model")
        configured = client.configure(settings.worker.engine)
        offset_before = None if session.one_clock else measure_offset(channel)
        if offset_before is not None:
            client.worker_ahead_ns = offset_before.offset_ns
        limits = GenerationLimits(
            vocabulary_size=manifest.vocabulary_size,
            logits_to_keep=settings.workload.logits_to_keep,
            max_steps=1 + settings.workload.decode_steps,
        )
        crosses = policy.worker is WorkerPlace.SERVER
        yield Subject(
            session,
            client,
            load_executor(policy.executor).open_executor(client, limits),
            configured.gpu_uuid,
            configured.gpu_name,
            None if session.one_clock else lambda: measure_offset(channel),
            offset_before,
            (lambda: measure_link(channel)) if crosses else None,
        )
