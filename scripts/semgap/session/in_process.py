"""A worker in the client's own process: nothing crosses a network."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

from semgap.inference.worker import Worker
from semgap.model.device import open_device
from semgap.plumbing.process_sockets import sockets_of
from semgap.plumbing.processes import threads_or_all_cores
from semgap.policy import WorkerPlace
from semgap.session.opening import Session, WorkerSettings
from semgap.transport.same_process import InProcessChannel


@contextlib.contextmanager
def open_session(settings: WorkerSettings) -> Iterator[Session]:
    """See ``SessionModule.open_session``."""
    torch.set_num_threads(threads_or_all_cores(settings.compute_threads))
    worker = Worker(open_device(settings.device))
    yield Session(
        InProcessChannel(worker), str(WorkerPlace.IN_PROCESS), lambda: sockets_of(os.getpid())
    )
