"""Who takes part: this project's transports, the ceiling, and well-kept libraries."""

import importlib.util
from functools import partial

from semgap.linkbench.contenders import gloo, plain_sockets, through_transport
from semgap.linkbench.contenders.contender import Contender
from semgap.plumbing.registry import names_in

CEILING = "plain sockets"


def contenders() -> list[Contender]:
    """All that this machine has, in the order of the report."""
    chosen = [
        Contender(CEILING, plain_sockets.serve_unpaced, plain_sockets.connect_unpaced),
        Contender(
            "plain sockets, system's congestion control",
            plain_sockets.serve_as_configured,
            plain_sockets.connect_as_configured,
        ),
        *(
            Contender(
                name,
                partial(through_transport.serve, name),
                partial(through_transport.connect, name),
            )
            for name in names_in("transport")
        ),
        Contender("gloo", gloo.serve, gloo.connect),
    ]
    if importlib.util.find_spec("zmq") is not None:
        from semgap.linkbench.contenders import zeromq

        chosen.append(Contender("ZeroMQ", zeromq.serve, zeromq.connect))
    return chosen
