"""A server that runs for as long as a test needs it."""

import contextlib

from semgap.plumbing.files import write_record
from semgap.plumbing.tcp_sockets import free_port
from semgap.plumbing.versions import versions
from semgap.server.endpoint import ServerEndpoint, ServerSettings
from semgap.server.lifecycle import ensure_server, stop_server


@contextlib.contextmanager
def running_server(folder, transport, worker):
    """Start a server whose files are in a folder; yields the endpoint's file."""
    endpoint = ServerEndpoint(
        settings=ServerSettings(port=free_port("127.0.0.1"), transport=transport),
        worker=worker,
        secret_file=str(folder / "secret"),
        model_type="gptj",
        model_fingerprint="f",
        code="c",
        versions=versions(),
    )
    file = folder / "endpoint.json"
    write_record(file, endpoint)
    ensure_server(endpoint, file)
    yield file
    stop_server(endpoint, file)
