"""Where an experiment's server is, and with what settings it runs."""

from __future__ import annotations

import msgspec

from semgap.plumbing.versions import Versions


class ServerSettings(msgspec.Struct, frozen=True):
    """How the experiment's server is run and found.

    Attributes:
        host: address it listens on
        port: TCP port of its control channel
        transport: how tensors travel
        device: what its workers compute on (cpu, cuda, cuda:N)
        compute_threads: threads a worker computes with; 0 means all cores
        idle_timeout_s: ends when no session was open for so long
        start_timeout_s: longest wait for it to get ready
        step_timeout_s: longest wait for one reply
        external: true if somebody else starts and stops it
        secret_file: file with the secret that both sides prove to know
    """

    host: str
    port: int
    transport: str
    device: str
    compute_threads: int
    idle_timeout_s: float
    start_timeout_s: float
    step_timeout_s: float
    external: bool
    secret_file: str


class ServerEndpoint(msgspec.Struct, frozen=True):
    """Where sessions are opened, and with what settings the server runs them.

    Only settings: nothing in here changes from one start of the server to the next.

    Attributes:
        model_type: transformers' name of the architecture.
        code: fingerprint of the server's code.
    """

    settings: ServerSettings
    model_type: str
    model_fingerprint: str
    code: str
    versions: Versions
