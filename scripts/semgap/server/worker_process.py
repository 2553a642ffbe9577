"""What a forked process does with its connection: answer, and once it is asked to, be a worker."""

import logging
import os
import queue
import signal
import threading
from collections.abc import Sequence
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection
from typing import NoReturn

import msgspec
import torch

from semgap.encodings import encoded_handler
from semgap.errors import SemgapError
from semgap.inference.worker import Worker
from semgap.model.device import open_device
from semgap.plumbing.provenance import describe_host
from semgap.plumbing.tcp_sockets import ProcessSockets, free_port, sockets_of
from semgap.plumbing.usage import usage_of
from semgap.plumbing.versions import Versions
from semgap.server import control
from semgap.server.control import monotonic_clock_id
from semgap.server.endpoint import ServerEndpoint
from semgap.server.program import run_program
from semgap.transport import Timeouts, load_transport

log = logging.getLogger(__name__)

_ADMISSION_TIMEOUT_S = 5.0


class WorkerProcess:
    """One control connection: a thread answers it, the main thread computes.

    Args:
        port: where control connections arrive.
    """

    def __init__(
        self, connection: Connection, endpoint: ServerEndpoint, port: int, versions: Versions
    ) -> None:
        self._connection = connection
        self._endpoint = endpoint
        self._control_port = port
        self._versions = versions
        self._asked: queue.SimpleQueue[control.OpenSession | control.RunProgram]
        self._asked = queue.SimpleQueue()
        self._session_is_open = False
        self._program: int | None = None

    def run(self, secret: bytes) -> None:
        """Admit a client, answer it, and serve its session; ends with the process."""
        # SIGALRM ends the process if its client does not authenticate in time.
        signal.setitimer(signal.ITIMER_REAL, _ADMISSION_TIMEOUT_S)
        try:
            control.admit(self._connection, secret)
        except (AuthenticationError, AssertionError, EOFError, OSError) as error:
            log.warning("refused a connection: %s", error or "it hung up")
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        threading.Thread(target=self._answer, name="control", daemon=True).start()
        try:
            match self._asked.get():
                case control.OpenSession(encoding):
                    self._serve(encoding)
                case control.RunProgram(command):
                    self._run_program(command)
        except SemgapError as error:
            log.error("%s", error)
            control.send(self._connection, control.WorkerEnded(f"failed: {error}"))
        except Exception as error:
            log.exception("the worker failed")
            how = f"failed: {type(error).__name__}: {error}"
            control.send(self._connection, control.WorkerEnded(how))
        else:
            # The client may still need what this process holds of the transport (PyTorch RPC's
            # store): the worker ends when its session does.
            signal.pause()

    def _serve(self, encoding: str | None) -> None:
        """Serve one client until it closes its channel."""
        settings, worker = self._endpoint.settings, self._endpoint.worker
        port = free_port(settings.host)
        torch.set_num_threads(worker.threads)
        log.info("worker %s for a session at port %s", os.getpid(), port)
        load_transport(settings.transport).serve(
            settings.host,
            port,
            encoded_handler(Worker(open_device(worker.device)), encoding),
            Timeouts(settings.start_timeout_s, settings.step_timeout_s),
            lambda: control.send(self._connection, control.SessionOpened(port)),
        )

    def _run_program(self, command: Sequence[str]) -> NoReturn:
        def say_ready(pid: int, port: int) -> None:
            self._program = pid
            control.send(self._connection, control.SessionOpened(port))

        settings = self._endpoint.settings
        run_program(command, settings.host, settings.start_timeout_s, say_ready)

    def _answer(self) -> None:
        try:
            for request in control.requests(self._connection):
                reply = self._reply_to(request)
                if reply is not None:
                    control.send(self._connection, reply)
        except (EOFError, OSError):
            os._exit(0)
        except msgspec.DecodeError as error:
            log.warning("what a client sent is no message: %s", error)
            os._exit(1)

    def _reply_to(self, request: control.ServerRequest) -> control.ServerReply | None:
        match request:
            case control.Hello():
                return control.Welcome(
                    os.getppid(), self._endpoint, self._versions, monotonic_clock_id()
                )
            case control.ListSockets():
                return control.Sockets(self._session_sockets())
            case control.DescribeHost(gpu_uuid, gpu_name):
                code = self._endpoint.code
                return control.HostDescribed(describe_host(code, gpu_uuid, gpu_name))
            case control.AskUsage():
                return control.UsageSeen(usage_of(self._program or os.getpid()))
            case control.OpenSession() | control.RunProgram() if self._session_is_open:
                return control.WorkerEnded("is there already: one session a connection")
            case control.OpenSession() | control.RunProgram():
                # Answered when the worker is ready or has failed to be.
                self._session_is_open = True
                self._asked.put(request)
                return None

    def _session_sockets(self) -> ProcessSockets:
        """This process's sockets except the control connection, which is not measured."""
        found = sockets_of(os.getpid())
        data = tuple(pair for pair in found.connections if pair.local_port != self._control_port)
        return msgspec.structs.replace(found, connections=data)
