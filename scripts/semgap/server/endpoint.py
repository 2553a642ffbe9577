"""Where an experiment's server is, and how it runs: the configuration's section ``server``."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from semgap.inference.worker_settings import WorkerSettings

_Seconds = Annotated[float, Meta(gt=0, le=1_000_000)]


class LinkShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The link between client and worker that is made for `launch: namespace`."""

    rate_gbit: Annotated[
        Annotated[float, Meta(ge=0.01, le=100)] | None,
        Meta(description="Rate of each direction (Gbit/s); none is as fast as it goes."),
    ] = None
    round_trip_ms: Annotated[
        Annotated[float, Meta(ge=0.5, le=1000)] | None,
        Meta(description="Delay of both directions together (ms); none adds no delay."),
    ] = None
    mtu: Annotated[
        Annotated[int, Meta(ge=576, le=65535)] | None,
        Meta(description="Largest packet (bytes); the system's own without one."),
    ] = None


class SshTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another machine's checkout of this project, as OpenSSH's client reaches it."""

    destination: Annotated[
        Annotated[str, Meta(min_length=1)],
        Meta(description="The machine, as `ssh` takes it: `user@host`, or a Host of its config."),
    ]
    project: Annotated[
        str, Meta(description="Folder of the checkout there, of the same commit as this one.")
    ]
    python: Annotated[str, Meta(description="The Python there, as seen from that folder.")] = (
        ".venv/bin/python"
    )
    options: Annotated[
        tuple[str, ...], Meta(description='More arguments of `ssh`, such as ["-J", "gateway"].')
    ] = ()


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The server that gives each benchmark job a worker of its own."""

    transport: Annotated[
        str, Meta(description="How tensors travel: a module of scripts/semgap/transport.")
    ] = "torch_rpc"
    host: Annotated[
        str,
        Meta(
            description="Address the server listens on. PyTorch RPC unpickles: trusted networks "
            "only."
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Meta(
            ge=0,
            le=65535,
            description="TCP port of the server's control channel; 0 is a free one. Sessions use "
            "free ports.",
        ),
    ] = 0
    launch: Annotated[
        Literal["local", "namespace", "ssh", "external"],
        Meta(
            description="Where the server is started: on this machine, there in a network of its "
            "own behind `link` (as root), on another machine by `ssh`, or by the user "
            "(docs/links.md)."
        ),
    ] = "local"
    link: Annotated[
        LinkShape, Meta(description="The link that is made, for `launch: namespace`.")
    ] = msgspec.field(default_factory=LinkShape)
    ssh: Annotated[
        SshTarget | None,
        Meta(
            description="The other machine, for `launch: ssh`: {destination, project, python, "
            "options} (docs/links.md)."
        ),
    ] = None
    idle_timeout_s: Annotated[
        _Seconds, Meta(description="The server ends after so long without a session (s).")
    ] = 300
    start_timeout_s: Annotated[
        _Seconds, Meta(description="Longest wait for the server to get ready (s).")
    ] = 120
    step_timeout_s: Annotated[
        _Seconds, Meta(description="Longest wait for one reply of the worker (s).")
    ] = 600
    client_poll_s: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Over tcp, how long the client looks for a reply before it sleeps (s). "
            "Waking takes a tenth of a millisecond in a virtual machine. Looking takes a core, "
            "which `local` takes too while it waits for a GPU.",
        ),
    ] = 0


class ServerJob(msgspec.Struct, frozen=True):
    """What the server is told to be."""

    server: ServerSettings
    worker: WorkerSettings


class RunTime(msgspec.Struct, frozen=True):
    """What each start of the server makes anew, in a file that its owner alone can read."""

    port: int  # where it listens
    secret: str  # which both sides prove to know


class ServerEndpoint(msgspec.Struct, frozen=True):
    """Where sessions are opened, and with what settings the server runs them.

    Only settings: nothing in here changes from one start of the server to the next.
    """

    settings: ServerSettings
    worker: WorkerSettings
    run_time_file: str  # holds a RunTime while the server runs
    model_type: str  # transformers' name of the architecture
    model_fingerprint: str
    code: str  # fingerprint of the server's code
