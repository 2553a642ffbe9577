"""GPU utilisation as ``nvidia-smi dmon`` prints it, once a second."""

import logging
import statistics
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping

from semgap.meters import Host, Meter, Readings, Span
from semgap.plumbing.processes import die_with_parent

log = logging.getLogger(__name__)

# A line speaks of the second before it.
_PERIOD_NS = 1_000_000_000
# dmon's names, where it gives them: utilisation of SMs and of memory, used memory.
_QUANTITIES = {
    ("sm", "%"): "gpu_dmon_percent",
    ("mem", "%"): "gpu_dmon_memory_percent",
    ("fb", "MB"): "gpu_dmon_memory_mb",
}


class GpuDmon(Meter):
    """A running dmon, whose lines a thread reads."""

    host = Host.WORKER
    span = Span.BACK_TO_BACK
    needs_gpu = True

    def __init__(self, gpu_uuid: str = "") -> None:
        super().__init__(gpu_uuid)
        self._command = ["nvidia-smi", "dmon", "-s", "um", "-d", "1", "-i", gpu_uuid]
        self._lines: list[tuple[int, str]] = []
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> None:
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                process_group=0,
                preexec_fn=die_with_parent,
            )
        except OSError as error:
            log.warning("nvidia-smi cannot be run (%s): dmon's utilisation is left out", error)
            return
        self._reader = threading.Thread(target=self._read_lines, name="dmon", daemon=True)
        self._reader.start()

    def __exit__(self, *_exception: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._reader.join()

    def read(self, begin_ns: int, end_ns: int) -> Readings:
        within = {
            at_ns: line
            for at_ns, line in self._lines
            if line.startswith("#") or begin_ns + _PERIOD_NS <= at_ns <= end_ns
        }
        rows = list(dmon_rows(within.values()))
        if not any(dmon_rows(line for _at_ns, line in self._lines)):
            log.warning("nvidia-smi dmon measured nothing: %s", self._lines)
        return {
            name: statistics.fmean(values)
            for column, name in _QUANTITIES.items()
            if (values := [row[column] for row in rows if column in row])
        }

    def _read_lines(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self._lines.append((time.monotonic_ns(), line))


def dmon_rows(lines: Iterable[str]) -> Iterator[Mapping[tuple[str, str], float]]:
    """The numbers of each line that dmon prints for a GPU, by column name and unit.

    Columns are found by the two lines of their header, since drivers differ in them. One without a
    number ("-", "N/A": not supported) is left out.
    """
    header: list[list[str]] = []
    for line in lines:
        cells = line.lstrip("# ").split()
        if line.startswith("#"):
            header = [*header[-1:], cells]
        elif len(header) == 2 and len(cells) == len(header[0]) == len(header[1]):
            columns = zip(*header, strict=True)
            yield {
                column: float(cell)
                for column, cell in zip(columns, cells, strict=True)
                if cell.replace(".", "", 1).isdigit()
            }


METER = GpuDmon
