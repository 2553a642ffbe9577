"""The server process: forks one fresh worker for each session and reaps it with its session.

The modules a worker needs are imported once, before the first fork, and nothing else is done in
this process: a forked worker starts in milliseconds with the state of a freshly started one. The
process stays single-threaded, since only then is a fork safe.
"""

import contextlib
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from semgap.errors import SemgapError
from semgap.plumbing.process_sockets import sockets_of
from semgap.plumbing.processes import describe_exit, die_with_parent, open_owner
from semgap.plumbing.tcp_sockets import free_port
from semgap.plumbing.versions import Versions
from semgap.server import control
from semgap.server.channel import Admission, ControlChannel, UntrustedError
from semgap.server.endpoint import ServerEndpoint
from semgap.server.listener import listen, write_secret

log = logging.getLogger(__name__)

_GRACE_S = 2.0
_READY = "ready"
_CLOSED = -1
# A connection must prove the secret within this time; beyond this many, the oldest is closed.
_ADMISSION_TIMEOUT_S = 5.0
_MAX_ADMISSIONS = 16

ServeSession = Callable[[ServerEndpoint, int, Callable[[], None]], None]


@dataclass
class _Session:
    """A control connection and, once it asked for one, its worker."""

    connection: ControlChannel
    worker_pid: int | None = None
    port: int = 0  # where the worker serves
    # descriptor of the pipe on which the worker says that it is ready, or why not
    report: int = _CLOSED


class Supervisor:
    """Serves control connections until it is stopped, idle for too long, or its owner is gone.

    Args:
        serve_session: runs in the forked worker; serves one client at a port, calling its last
            argument when it is ready for it, then returns.
    """

    def __init__(
        self, endpoint: ServerEndpoint, versions: Versions, serve_session: ServeSession
    ) -> None:
        self._endpoint = endpoint
        self._versions = versions
        self._serve_session = serve_session
        self._sessions: dict[int, _Session] = {}
        self._workers: dict[int, _Session] = {}
        self._admissions: dict[int, Admission] = {}
        self._stopping = False
        self._listener = listen(endpoint.settings)
        self._secret = write_secret(Path(endpoint.secret_file))

    def run(self) -> None:
        """Serve until there is a reason to end; leaves no worker behind."""
        signal.signal(signal.SIGTERM, self._on_terminate)
        owner = open_owner()
        poll = select.poll()
        listening = self._listener.fileno()
        for descriptor in (listening, owner):
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        idle_since_s = time.monotonic()
        log.info("serving at %s:%s", self._endpoint.settings.host, self._endpoint.settings.port)
        try:
            while not self._stopping:
                if self._sessions:
                    idle_since_s = time.monotonic()
                elif time.monotonic() - idle_since_s > self._endpoint.settings.idle_timeout_s:
                    log.info("idle for %s s: ending", self._endpoint.settings.idle_timeout_s)
                    break
                self._turn_away_late_ones(poll)
                for descriptor, _event in poll.poll(1000):
                    if descriptor == listening:
                        self._accept(poll)
                    elif descriptor in self._admissions:
                        self._admit(descriptor, poll)
                    elif descriptor == owner:
                        log.info("the workflow that started this server is gone: ending")
                        self._stopping = True
                    elif descriptor in self._sessions:
                        self._answer(descriptor, poll)
                    elif descriptor in self._workers:
                        self._reap(descriptor, poll)
                    else:
                        self._welcome_worker(descriptor, poll)
        finally:
            for session in list(self._sessions.values()):
                self._end(session, poll)
            for descriptor in list(self._admissions):
                self._turn_away(descriptor, poll, "the server ends")
            self._listener.close()
            log.info("ended")

    def _on_terminate(self, _signal: int, _frame: object) -> None:
        self._stopping = True

    def _accept(self, poll: select.poll) -> None:
        try:
            accepted, _peer = self._listener.accept()
        except BlockingIOError:
            return
        if len(self._admissions) >= _MAX_ADMISSIONS:
            self._turn_away(next(iter(self._admissions)), poll, "too many others came after it")
        deadline_s = time.monotonic() + _ADMISSION_TIMEOUT_S
        try:
            admission = Admission(accepted, self._secret, deadline_s)
        except OSError:
            accepted.close()
            return
        self._admissions[accepted.fileno()] = admission
        poll.register(accepted.fileno(), select.POLLIN)

    def _admit(self, descriptor: int, poll: select.poll) -> None:
        admission = self._admissions[descriptor]
        try:
            if admission.proceed():
                del self._admissions[descriptor]
                self._sessions[descriptor] = _Session(admission.channel)
        except (UntrustedError, EOFError, OSError) as error:
            self._turn_away(descriptor, poll, str(error) or "it hung up")

    def _turn_away_late_ones(self, poll: select.poll) -> None:
        now_s = time.monotonic()
        for descriptor in [
            key for key, admission in self._admissions.items() if admission.deadline_s < now_s
        ]:
            self._turn_away(descriptor, poll, f"no proof within {_ADMISSION_TIMEOUT_S:g} s")

    def _turn_away(self, descriptor: int, poll: select.poll, why: str) -> None:
        log.warning("refused a connection: %s", why)
        poll.unregister(descriptor)
        self._admissions.pop(descriptor).channel.close()

    def _answer(self, descriptor: int, poll: select.poll) -> None:
        session = self._sessions[descriptor]
        try:
            for message in session.connection.arrived():
                request = control.decode_request(message)
                if isinstance(request, control.OpenSession) and session.worker_pid is None:
                    # Answered when the worker is ready or has failed to be.
                    self._open(session, poll)
                else:
                    control.send(session.connection, self._reply_to(request, session))
        except (EOFError, OSError, UntrustedError, msgspec.DecodeError) as error:
            if not isinstance(error, EOFError):
                log.warning("a client broke off: %s", error)
            self._end(session, poll)

    def _reply_to(self, request: control.ServerRequest, session: _Session) -> control.ServerReply:
        match request:
            case control.Hello():
                return control.Welcome(os.getpid(), self._endpoint.code, self._versions)
            case control.ListSockets():
                if session.worker_pid is None:
                    return control.WorkerEnded("is not there (any more)")
                return control.Sockets(sockets_of(session.worker_pid))
            case control.OpenSession():
                return control.WorkerEnded("is there already: one session a connection")
            case control.Stop():
                self._stopping = True
                return control.Stopping()

    def _open(self, session: _Session, poll: select.poll) -> None:
        session.port = free_port(self._endpoint.settings.host)
        session.report, worker_report = os.pipe()
        # Blocked until the worker has its own handler: the inherited one would swallow the signal.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        pid = os.fork()
        if pid == 0:
            self._become_worker(session.port, worker_report)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        os.close(worker_report)
        log.info("worker %s for a session at port %s", pid, session.port)
        session.worker_pid = pid
        poll.register(session.report, select.POLLIN)
        exited = os.pidfd_open(pid)
        self._workers[exited] = session
        poll.register(exited, select.POLLIN)

    def _welcome_worker(self, report: int, poll: select.poll) -> None:
        """Pass on to the client what its worker says of itself."""
        for session in self._sessions.values():
            if session.report == report:
                said = os.read(report, 1 << 16).decode(errors="replace")
                self._close_report(session, poll)
                if said == _READY:
                    opened = control.SessionOpened(session.worker_pid or 0, session.port)
                    self._tell(session, opened)
                elif said:
                    self._tell(session, control.WorkerEnded(f"failed to start: {said}"))

    def _close_report(self, session: _Session, poll: select.poll) -> None:
        poll.unregister(session.report)
        os.close(session.report)
        session.report = _CLOSED

    def _tell(self, session: _Session, reply: control.ServerReply) -> None:
        try:
            control.send(session.connection, reply)
        except OSError:
            log.info("a client is gone before its answer")

    def _become_worker(self, port: int, report: int) -> None:
        """Never returns: the fork serves one session and exits without the parent's clean-up."""
        try:
            die_with_parent()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            self._listener.close()
            for connection in (
                *(session.connection for session in self._sessions.values()),
                *(admission.channel for admission in self._admissions.values()),
            ):
                connection.close()
            self._serve_session(self._endpoint, port, lambda: _say(report, _READY))
            # The client may still need what this process holds of the transport (PyTorch RPC's
            # store): the worker ends when its session does.
            signal.pause()
        except SemgapError as error:
            log.error("%s", error)
            _say(report, str(error))
        except BaseException as error:
            log.exception("the worker failed")
            _say(report, f"{type(error).__name__}: {error}.")
        finally:
            logging.shutdown()
            sys.stderr.flush()
            os._exit(1)

    def _reap(self, descriptor: int, poll: select.poll) -> None:
        session = self._workers.pop(descriptor)
        poll.unregister(descriptor)
        os.close(descriptor)
        assert session.worker_pid is not None
        _pid, status = os.waitpid(session.worker_pid, 0)
        worker_pid, session.worker_pid = session.worker_pid, None
        if session.connection.closed:
            log.info("worker %s ended with its session", worker_pid)
            return
        log.warning("worker %s %s", worker_pid, describe_exit(status))
        self._tell(session, control.WorkerEnded(describe_exit(status)))

    def _end(self, session: _Session, poll: select.poll) -> None:
        """End a session and its worker."""
        descriptor = session.connection.fileno()
        poll.unregister(descriptor)
        del self._sessions[descriptor]
        session.connection.close()
        if session.report != _CLOSED:
            self._close_report(session, poll)
        for exited in [key for key, value in self._workers.items() if value is session]:
            assert session.worker_pid is not None
            os.kill(session.worker_pid, signal.SIGTERM)
            if not select.select([exited], [], [], _GRACE_S)[0]:
                os.kill(session.worker_pid, signal.SIGKILL)
            self._reap(exited, poll)


def _say(report: int, text: str) -> None:
    """Tell the supervisor, once; it listens to the first word only."""
    with contextlib.suppress(OSError):
        os.write(report, text.encode())
        os.close(report)
