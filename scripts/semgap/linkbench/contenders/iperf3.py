"""Goodput by iperf3, if it is installed: a figure that readers know."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Collection

from semgap.linkbench.contenders import TIMEOUT_S

_SECONDS = "1"
_BITS_PER_BYTE = 8


def iperf3_goodput(
    host: str, port: int, congestion_control: str, server_cores: Collection[int]
) -> float | None:
    """Goodput of one TCP stream in bytes/s; None where iperf3 is missing or fails.

    The client runs on this process's cores.
    """
    command = shutil.which("iperf3")
    if command is None:
        return None
    serve = [command, "--server", "--one-off", "--bind", host, "--port", str(port), "--forceflush"]
    ask = [
        *(command, "--client", host, "--port", str(port), "--json"),
        *("--time", _SECONDS, "--congestion", congestion_control),
    ]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(server.pid, server_cores)
        assert server.stdout is not None
        while b"listening" not in (line := server.stdout.readline()):
            if not line:
                return None
        try:
            said = subprocess.run(ask, capture_output=True, check=True, timeout=TIMEOUT_S).stdout
        except subprocess.SubprocessError:
            return None
        finally:
            server.terminate()
    return float(json.loads(said)["end"]["sum_received"]["bits_per_second"]) / _BITS_PER_BYTE
