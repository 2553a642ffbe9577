"""What tests left behind: processes, ports, files outside their folders."""

import contextlib
import os
import subprocess
import time
import uuid
from pathlib import Path

import psutil

from small_models import PROJECT

_MARK = "SEMGAP_TEST_SESSION"
_GRACE_S = 100
# Belong to this process, which ends them when it ends itself.
_OWN_HELPERS = ("multiprocessing.forkserver", "multiprocessing.resource_tracker")
# Where programs and libraries put what belongs to no project.
_PLACES = ("TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TORCHINDUCTOR_CACHE_DIR")
# What checks and suites keep for their next run; the static checks run beside the suites.
_CACHES = {
    ".hypothesis",
    ".import_linter_cache",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    "__pycache__",
}
_LINT_WRITES = (".snakemake/expectations/", ".snakemake/log/")


class Watch:
    """Marks all processes that descend from this one, and notes which files there are.

    Args:
        folder: where everything goes that is made in "the" temporary, cache or settings folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mark = uuid.uuid4().hex
        os.environ[_MARK] = self._mark
        for variable in _PLACES:
            place = folder / variable.lower()
            place.mkdir()
            os.environ[variable] = str(place)
        self._files_before = self._files()

    def leftovers(self) -> list[str]:
        """Everything that is still there; processes get a moment to end."""
        deadline_s = time.monotonic() + _GRACE_S
        while (alive := self._processes()) and time.monotonic() < deadline_s:
            time.sleep(0.1)
        ports = [
            f"port {connection.laddr.port} is open in the tests' own process"
            for connection in psutil.Process().net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        files = [f"file {name}" for name in sorted(self._files() - self._files_before)]
        return alive + ports + files

    def _processes(self) -> list[str]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.pid == os.getpid() or process.environ().get(_MARK) != self._mark:
                    continue
                command = " ".join(process.cmdline())
                if not any(helper in command for helper in _OWN_HELPERS):
                    found.append(f"process {process.pid}: {command}")
        return found

    def _is_a_strangers(self, pid: int) -> bool:
        """Whether another suite's process has this ID: suites run beside each other."""
        if pid == os.getpid():
            return False
        try:
            return psutil.Process(pid).environ().get(_MARK) != self._mark
        except psutil.Error:
            return False

    def _files(self) -> set[str]:
        status = subprocess.run(
            ["git", "status", "--porcelain", "--ignored", "--untracked-files=all", "-z"],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        in_project = {entry[3:] for entry in status.split("\0") if entry.startswith(("??", "!!"))}
        own = {
            name
            for name in in_project
            if not _CACHES & set(Path(name).parts) and not name.startswith(_LINT_WRITES)
        }
        temporary = {
            str(path)
            for path in (self._folder / "tmpdir").iterdir()
            if not path.name.startswith("pymp-")
        }
        # Where PyTorch shares tensors between processes, as torch_<process ID>_<number>.
        shared = {
            str(path)
            for path in Path("/dev/shm").glob("torch_*")
            if not self._is_a_strangers(int(path.name.split("_")[1]))
        }
        return own | temporary | shared
