"""How reports write numbers, and the columns of the published table, a row each."""

import math
from collections.abc import Callable
from typing import NamedTuple

from semgap.analysis.numbers.numbers import TableRow

ABSENT = "–"
_BYTES_PER_GB = 1e9


def significant(value: float) -> str:
    """A number to four significant digits, in powers of ten where it is very small."""
    if value == 0:
        return "0"
    return f"{value:#.4g}".rstrip(".")


def with_deviation(mean: float, deviation: float | None) -> tuple[str, str]:
    """A mean and its standard deviation to the same decimal place.

    The deviation has two significant digits, unless the mean needs more decimals to show three.
    """
    if deviation is None:
        return significant(mean), ABSENT
    decimals = max(_decimals(deviation, 2), _decimals(mean, 3), 0)
    return f"{mean:.{decimals}f}", f"{deviation:.{decimals}f}"


def _decimals(value: float, digits: int) -> int:
    if value == 0:
        return 0
    return digits - 1 - math.floor(math.log10(abs(value)))


def latency_text(row: TableRow) -> str:
    """Latency in seconds, with its standard deviation if there is one."""
    mean, deviation = _latency(row)
    return mean if deviation == ABSENT else f"{mean} ± {deviation}"


def deviation_text(row: TableRow) -> str:
    """Standard deviation of the latency in seconds, to the decimal place of the mean."""
    return _latency(row)[1]


def _latency(row: TableRow) -> tuple[str, str]:
    latency = row.quantities["latency_s"]
    return with_deviation(latency.mean, latency.std)


def gigabytes_text(row: TableRow) -> str:
    """Network traffic in GB (1e9 bytes)."""
    return significant(row.quantities["network_bytes"].mean / _BYTES_PER_GB)


def utilisation_text(row: TableRow) -> str:
    """Time in GPU kernels ÷ wall time, in percent."""
    utilisation = row.mean("gpu_kernel_percent")
    return ABSENT if utilisation is None else f"{utilisation:.1f}"


class Column(NamedTuple):
    """What a column shows of a row, and where that is read."""

    header: str
    cell: Callable[[TableRow], str]
    quantity: str  # in summary.csv, as Markdown
    source: str  # as Markdown


COLUMNS = (
    Column(
        "Latency (s)",
        latency_text,
        "`latency_s`",
        "`phases[].latency_s` of `runs/<mode>/rep<n>.json`",
    ),
    Column(
        "Network (GB)",
        gigabytes_text,
        "`network_bytes`",
        "`traffic/<mode>/rep<n>.csv`, from `captures/<mode>/rep<n>.pcap`",
    ),
    Column(
        "GPU Util (%)",
        utilisation_text,
        "`gpu_kernel_percent`",
        "`phases[].readings.gpu_kernels` of `runs/<mode>/rep<n>.json`",
    ),
    Column("Latency Std Dev (s)", deviation_text, "`latency_s`, std", "the same as the latency"),
)
