"""What a forked worker does with its session."""

from collections.abc import Callable

import torch

from semgap.inference.worker import Worker
from semgap.model.device import open_device
from semgap.plumbing.processes import threads_or_all_cores
from semgap.server.endpoint import ServerEndpoint
from semgap.transport.transport_contract import Timeouts, load_transport


def serve_session(endpoint: ServerEndpoint, port: int, say_ready: Callable[[], None]) -> None:
    """Serve one client at ``port`` until it closes its channel.

    Args:
        say_ready: called when nothing but the client is missing.
    """
    torch.set_num_threads(threads_or_all_cores(endpoint.worker.compute_threads))
    worker = Worker(open_device(endpoint.worker.device))
    load_transport(endpoint.settings.transport).serve(
        endpoint.settings.host,
        port,
        worker,
        Timeouts(endpoint.settings.start_timeout_s, endpoint.settings.step_timeout_s),
        say_ready,
    )
