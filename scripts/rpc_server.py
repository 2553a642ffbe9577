#!/usr/bin/env python3
"""Start, serve, check or stop the server that gives each benchmark job a worker of its own."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from semgap.model.manifest import Manifest
from semgap.pipeline.cli import run_script
from semgap.plumbing.files import read_record, write_record
from semgap.server.endpoint import RunTime, ServerEndpoint, ServerJob


def start(
    endpoint: Annotated[Path, "writes this file, which describes the server"],
    manifest: Annotated[Path, "describes the model"],
    code: Annotated[str, "fingerprint of the server's code"],
    settings: Annotated[ServerJob, "what the server is told to be"],
) -> None:
    """Describe the endpoint, start its server and wait for a handshake."""
    import json
    import logging

    from semgap.server.lifecycle import ensure_server, how_to_start

    model = read_record(manifest, Manifest)
    described = ServerEndpoint(
        settings=settings.server,
        worker=settings.worker,
        run_time_file=str(endpoint.with_name("run-time.json")),
        model_type=json.loads(model.model_config)["model_type"],
        model_fingerprint=model.fingerprint,
        code=code,
    )
    write_record(endpoint, described)
    if described.settings.launch == "external":
        logging.getLogger("semgap").warning("%s", how_to_start(endpoint))
    else:
        ensure_server(described, endpoint)


def serve(endpoint: Annotated[Path, "describes the server"]) -> None:
    """Be the server, in the foreground."""
    from functools import partial

    from semgap.server.control import write_run_time
    from semgap.server.ssh import serve_there

    described = read_record(endpoint, ServerEndpoint)
    if described.settings.launch == "ssh":
        serve_there(described, _code())
    _supervise(described, partial(write_run_time, Path(described.run_time_file)))


def attend(code: Annotated[str, "fingerprint that this checkout must have"]) -> None:
    """Be the server of another machine, which describes it on the standard input."""
    import os
    import sys

    import msgspec

    from semgap.errors import ServerError

    if _code() != code:
        raise ServerError(
            f"The checkout on {os.uname().nodename} has other code than the one that measures.",
            "Bring both to the same commit, without local changes.",
        )
    client = sys.stdin.buffer
    described = msgspec.json.decode(client.readline(), type=ServerEndpoint)

    def announce(run_time: RunTime) -> None:
        os.write(sys.stdout.fileno(), msgspec.json.encode(run_time) + b"\n")
        # Nobody reads what a library may print.
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    _supervise(described, announce, [client.fileno()])


def _code() -> str:
    """Fingerprint of all that a server may load."""
    from semgap.pipeline.fingerprint import code_fingerprint
    from semgap.plumbing.registry import names_in

    folders = ("encodings", "engine", "meters", "placements", "transport")
    loaded = [f"semgap.{folder}.{name}" for folder in folders for name in names_in(folder)]
    return code_fingerprint(Path(__file__).parent, Path(__file__).name, loaded)


def _supervise(
    endpoint: ServerEndpoint, announce: Callable[[RunTime], None], held_open: Sequence[int] = ()
) -> None:
    import logging
    import os

    from semgap.model.skeleton import import_model_type
    from semgap.plumbing.versions import versions
    from semgap.server.supervisor import Supervisor

    import_model_type(endpoint.model_type)
    Supervisor(endpoint, versions(), announce, held_open).run()
    logging.shutdown()
    # A regular exit takes seconds, to unload torch and transformers.
    os._exit(0)


def check(endpoint: Annotated[Path, "describes the server"]) -> None:
    """Fail unless an external server answers and is what it should be."""
    from semgap.errors import ServerError
    from semgap.server.lifecycle import ensure_server

    if not endpoint.exists():
        raise ServerError(
            "server.launch is external, and the server is not described yet: it cannot be there.",
            f"Run 'snakemake -- {endpoint}' with the same configuration: it describes the server "
            "and says how to start it (docs/links.md).",
        )
    ensure_server(read_record(endpoint, ServerEndpoint), endpoint)


def stop(endpoint: Annotated[Path, "describes the server"]) -> None:
    """Stop the server if it runs."""
    from semgap.server.lifecycle import stop_server

    if endpoint.exists():
        stop_server(read_record(endpoint, ServerEndpoint), endpoint)


if __name__ == "__main__":
    run_script(start, serve, attend, check, stop)
