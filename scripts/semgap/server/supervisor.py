"""The server process: forks for each connection and reaps what it forked.

The modules a worker needs are imported once, before the first fork, and nothing is computed in this
process: a forked worker starts in milliseconds with the state of a freshly started one.
"""

import contextlib
import logging
import os
import secrets
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection

from semgap.errors import ServerError
from semgap.plumbing.processes import describe_exit, die_with_parent, open_exit
from semgap.plumbing.versions import Versions
from semgap.server import control
from semgap.server.endpoint import RunTime, ServerEndpoint, ServerSettings
from semgap.server.worker_process import WorkerProcess

log = logging.getLogger(__name__)

# Far more than an experiment needs; one that does not authenticate lasts a few seconds.
_MAX_SESSIONS = 100


@dataclass(frozen=True)
class _Session:
    """A forked process, and a duplicate of its connection to report how the process ended."""

    pid: int
    exited: int  # readable when the process has ended
    connection: Connection


class Supervisor:
    """Forks for control connections until it is stopped by SIGTERM or idle for too long.

    Args:
        announce: tells clients where it listens.
        held_open: descriptors; it ends, too, when the other end of one is closed.

    Raises:
        ServerError: the endpoint's address cannot be had.
    """

    def __init__(
        self,
        endpoint: ServerEndpoint,
        versions: Versions,
        announce: Callable[[RunTime], None],
        held_open: Iterable[int] = (),
    ) -> None:
        self._endpoint = endpoint
        self._versions = versions
        self._sessions: dict[int, _Session] = {}
        self._listener = _listen(endpoint.settings)
        self._port: int = self._listener.getsockname()[1]
        run_time = RunTime(self._port, secrets.token_hex(32))
        self._secret = run_time.secret.encode()
        self._held_open = held_open
        announce(run_time)
        self._stopping = False
        self._poll = select.poll()
        self._actions: dict[int, Callable[[], None]] = {}

    def run(self) -> None:
        """Serve until there is a reason to end; leaves no worker behind."""
        stop_asked, ask_to_stop = os.pipe()
        # The pipe wakes poll() up even if the kernel delivers the signal to another thread.
        os.set_blocking(ask_to_stop, False)
        signal.set_wakeup_fd(ask_to_stop)
        signal.signal(signal.SIGTERM, lambda *_: None)
        self._watch(stop_asked, select.POLLIN, partial(self._end, "told to end"))
        self._watch(self._listener.fileno(), select.POLLIN, self._accept)
        for descriptor in self._held_open:
            self._watch(descriptor, select.POLLIN, partial(self._end, "let go"))
        idle_since_s = time.monotonic()
        log.info("serving at %s:%s", self._endpoint.settings.host, self._port)
        try:
            while not self._stopping:
                if self._sessions:
                    idle_since_s = time.monotonic()
                elif time.monotonic() - idle_since_s > self._endpoint.settings.idle_timeout_s:
                    self._end(f"idle for {self._endpoint.settings.idle_timeout_s} s")
                for descriptor, _event in self._poll.poll(1000):
                    # An earlier event of this turn may have removed the action.
                    self._actions.get(descriptor, lambda: None)()
        finally:
            for session in list(self._sessions.values()):
                _kill(session)
                self._reap(session)
            self._listener.close()
            log.info("ended")

    def _end(self, why: str) -> None:
        log.info("%s: ending", why)
        self._stopping = True

    def _watch(self, descriptor: int, events: int, action: Callable[[], None]) -> None:
        self._poll.register(descriptor, events)
        self._actions[descriptor] = action

    def _unwatch(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        del self._actions[descriptor]

    def _accept(self) -> None:
        try:
            accepted, _peer = self._listener.accept()
            with accepted:
                if len(self._sessions) >= _MAX_SESSIONS:
                    log.warning("refused a connection: there are %s already", _MAX_SESSIONS)
                    return
                connection = control.over(accepted)
                pid = os.fork()
        except OSError as error:
            log.warning("a connection could not be served: %s", error)
            return
        if pid == 0:
            self._become_worker(connection)
        # Both processes ask for it, whichever is first.
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        session = _Session(pid, open_exit(pid), connection)
        self._sessions[pid] = session
        self._watch(session.exited, select.POLLIN, partial(self._reap, session))
        self._watch(connection.fileno(), select.POLLRDHUP, partial(self._hung_up, session))

    def _hung_up(self, session: _Session) -> None:
        """A session is over when its client hangs up, whatever its process does."""
        self._unwatch(session.connection.fileno())
        _kill(session)

    def _reap(self, session: _Session) -> None:
        _kill(session)
        _pid, status = os.waitpid(session.pid, 0)
        del self._sessions[session.pid]
        self._unwatch(session.exited)
        os.close(session.exited)
        if session.connection.fileno() not in self._actions:
            log.info("process %s ended with its session", session.pid)
        else:
            self._unwatch(session.connection.fileno())
            log.info("process %s %s", session.pid, describe_exit(status))
            if status:
                with contextlib.suppress(OSError):
                    control.send(session.connection, control.WorkerEnded(describe_exit(status)))
        session.connection.close()

    def _become_worker(self, connection: Connection) -> None:
        """Never returns: the fork serves its connection and exits without the parent's clean-up."""
        status = 1
        try:
            die_with_parent()
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._listener.close()
            for session in self._sessions.values():
                session.connection.close()
                os.close(session.exited)
            worker = WorkerProcess(connection, self._endpoint, self._port, self._versions)
            worker.run(self._secret)
            status = 0
        except BaseException:
            log.exception("a process failed")
        finally:
            logging.shutdown()
            sys.stderr.flush()
            os._exit(status)


def _kill(session: _Session) -> None:
    """End a session's process with all that it has started, which are of its process group."""
    os.killpg(session.pid, signal.SIGKILL)


def _listen(settings: ServerSettings) -> socket.socket:
    try:
        listener = socket.create_server((settings.host, settings.port), backlog=64)
        # accept() must not block if the client has gone already.
        listener.setblocking(False)
        return listener
    except OSError as error:
        raise ServerError(
            f"The server cannot listen at {settings.host}:{settings.port}: {error.strerror}.",
            "Set server.port to 0, a free port (and server.host to an address of this machine), or "
            f"stop the program that holds it ('ss -ltnp sport = :{settings.port}' shows it).",
        ) from error
