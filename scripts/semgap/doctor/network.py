"""Captures, ports, and the programs around them."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from semgap.doctor import Finding, Level
from semgap.errors import SemgapError, ServerError
from semgap.measurement.job_settings import CaptureSettings
from semgap.measurement.tcpdump import capture
from semgap.server.endpoint import ServerSettings
from semgap.server.network_namespace import check_privileges
from semgap.server.ssh import check_there

_IN_A_NETWORK = ("unshare", "--net", "--map-root-user")
_RATE = ("rate", "1gbit", "burst", "1mb", "latency", "50ms")


def check_capture(settings: CaptureSettings) -> Finding:
    """Whether packets can be captured, by capturing."""
    if settings.use == "off":
        return Finding("capture", Level.OK, "not wanted: capture.use is off")
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            capture(settings.interface, Path(folder) / "probe.pcap") as running,
        ):
            running.stop()
    except SemgapError as error:
        if settings.use == "required":
            return Finding("capture", Level.PROBLEM, error.cause, error.remedy)
        followed = "Bytes would be counted by the transport, and the table say so."
        return Finding("capture", Level.NOTE, f"{error.cause} {followed}", error.remedy)
    return Finding("capture", Level.OK, f"tcpdump captures on '{settings.interface}'")


def check_port(settings: ServerSettings) -> Finding:
    """Whether the server can listen, by binding its port."""
    if settings.launch == "external":
        return Finding(
            "port", Level.OK, "an external server's; a run without it says how to start it"
        )
    if settings.launch == "namespace":
        try:
            check_privileges()
        except ServerError as error:
            return Finding("port", Level.PROBLEM, error.cause, error.remedy)
        return Finding("port", Level.OK, "any: the server has a network of its own")
    if settings.ssh is not None:
        try:
            check_there(settings.ssh)
        except ServerError as error:
            return Finding("port", Level.PROBLEM, error.cause, error.remedy)
        return Finding("port", Level.OK, f"the project runs on {settings.ssh.destination}")
    place = f"{settings.host}:{settings.port}"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            listener = _listener(settings.port)
            return Finding(
                "port",
                Level.PROBLEM,
                f"{place} cannot be used: {error.strerror}{listener}.",
                "Stop what listens there ('make stop' ends this project's servers), or set "
                "server.port to 0, a free one.",
            )
    said = f"{place} is free" if settings.port else f"a free one of {settings.host} will be taken"
    return Finding("port", Level.OK, said)


def _listener(port: int) -> str:
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return ""
    for one in connections:
        if one.status == psutil.CONN_LISTEN and one.laddr.port == port and one.pid:
            return f" (process {one.pid}, {psutil.Process(one.pid).name()})"
    return ""


def check_tools() -> Iterator[Finding]:
    """What helps to look at connections and to shape a link; no default experiment needs it."""
    yield _tool("ss", "it lists sockets beside our own counts", "iproute2")
    tools = (
        _tool("tc", "it shapes a link", "iproute2"),
        _tool("unshare", "it makes namespaces", "util-linux"),
    )
    missing = [tool for tool in tools if tool.level is Level.NOTE]
    if missing:
        yield from missing
        return
    # As docs/links.md shapes a link, on a device of a namespace that ends with the command.
    shaped = subprocess.run(
        [*_IN_A_NETWORK, *("tc", "qdisc", "add", "dev", "lo", "root", "tbf"), *_RATE],
        env={**os.environ, "PATH": _path()},
        capture_output=True,
        text=True,
    )
    if shaped.returncode:
        yield Finding(
            "namespaces",
            Level.NOTE,
            f"No link can be shaped in a network namespace: {shaped.stderr.strip().rstrip('.')}.",
            "Only experiments over a shaped link need it (docs/links.md): it takes "
            + ("a kernel with tbf." if os.geteuid() == 0 else "root, or user namespaces, and tbf."),
        )
    else:
        yield Finding("namespaces", Level.OK, "a link can be shaped (tbf)")


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def _is_installed(name: str) -> bool:
    return shutil.which(name, path=_path()) is not None


def _tool(name: str, use: str, package: str) -> Finding:
    if not _is_installed(name):
        return Finding(
            name,
            Level.NOTE,
            f"{name} is not installed; {use}, and no table needs it.",
            f"Install it (Debian: apt-get install {package}).",
        )
    return Finding(name, Level.OK, use)
