"""The contenders: this project's transports, plain sockets, and well-kept libraries."""

import importlib.util
from functools import partial

from semgap.linkbench.contenders import gloo, plain_sockets, through_transport
from semgap.linkbench.contenders.contender import Contender
from semgap.plumbing.registry import names_in
from semgap.plumbing.tcp_sockets import congestion_control_of, prefer_unpaced

CEILING = "plain sockets"


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
