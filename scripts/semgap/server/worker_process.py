"""What a forked worker does with its session."""

from __future__ import annotations

import torch

from semgap.model.device import open_device
from semgap.processes import threads_or_all_cores
from semgap.records import ServerEndpoint
from semgap.transport.base import load_transport
from semgap.worker import Worker


def serve_session(endpoint: ServerEndpoint, port: int) -> None:
    """Serve one client at ``port`` until it closes its channel."""
    torch.set_num_threads(threads_or_all_cores(endpoint.compute_threads))
    worker = Worker(open_device(endpoint.device))
    load_transport(endpoint.transport).serve(endpoint.host, port, worker, endpoint.step_timeout_s)
