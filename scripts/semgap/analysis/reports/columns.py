"""The columns of the published table, a row each."""

from collections.abc import Callable
from typing import NamedTuple

from semgap.analysis.numbers.rows import TableRow
from semgap.analysis.reports.wording import (
    deviation_text,
    gigabytes_text,
    latency_text,
    utilisation_text,
)


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
