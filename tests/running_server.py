"""A server that runs for as long as a test needs it."""

import contextlib
import socket
import subprocess
import sys
import time

from patience import PATIENCE_S
from semgap.plumbing.files import write_record
from semgap.plumbing.tcp_sockets import free_port
from semgap.server.endpoint import ServerEndpoint, ServerSettings
from semgap.server.lifecycle import ensure_server, stop_server
from small_models import PROJECT


@contextlib.contextmanager
def running_server(folder, transport, worker, **more):
    """Start a server whose files are in a folder; yields the endpoint's file.

    Args:
        more: of its settings.
    """
    settings = ServerSettings(port=free_port("127.0.0.1"), transport=transport, **more)
    endpoint, file = described(folder, settings, worker)
    ensure_server(endpoint, file)
    yield file
    stop_server(endpoint, file)


@contextlib.contextmanager
def server_at(link, folder, transport, worker, *before):
    """Start a server in a joined network, behind a command; yields the endpoint's file."""
    # No port can be asked for in a network that this process is not in.
    settings = ServerSettings(transport=transport, host=link.far, port=29610, launch="external")
    _endpoint, file = described(folder, settings, worker)
    script = PROJECT / "scripts" / "rpc_server.py"
    serve = [sys.executable, str(script), "serve", "--endpoint", str(file)]
    command = [*link.there, *before, *serve]
    with subprocess.Popen(command) as server:
        try:
            wait_for_listener(settings.host, settings.port)
            yield file
        finally:
            server.kill()


def wait_for_listener(host, port):
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline_s, f"nothing listens at {host}:{port}"
            time.sleep(0.05)
        else:
            return


def described(folder, settings, worker):
    endpoint = ServerEndpoint(
        settings=settings,
        worker=worker,
        run_time_file=str(folder / "run-time.json"),
        model_type="gptj",
        model_fingerprint="f",
        code="c",
    )
    file = folder / "endpoint.json"
    write_record(file, endpoint)
    return endpoint, file
