"""What a decode step takes beside the least it can take: reading the weights once."""

from collections.abc import Sequence

import msgspec

from semgap.analysis.numbers.rows import TableRow
from semgap.analysis.reports.wording import ABSENT
from semgap.plumbing.markup import escaped_markdown, markdown_table


class DecodeRow(msgspec.Struct, frozen=True):
    """One decode step of one mode on a GPU, means over the repeats."""

    label: str
    step_s: float
    kernel_s: float  # time in kernels
    kernels: float  # their number
    floor_s: float | None  # the weights' bytes ÷ the rate at which the GPU read memory in this run

    @property
    def gap_s(self) -> float:
        """Time in no kernel: launching, copying, the network."""
        return self.step_s - self.kernel_s

    @property
    def share_of_floor(self) -> float | None:
        """The floor ÷ the step: 1 is a step that only reads the weights."""
        return None if self.floor_s is None else self.floor_s / self.step_s


def decode_rows(table: Sequence[TableRow], weights_bytes: int) -> list[DecodeRow]:
    """A row for each mode whose kernels were timed, in the order of the table."""
    rows = []
    for row in table:
        kernel_s, kernels = row.mean("gpu_kernel_busy_s"), row.mean("gpu_kernels")
        step_s, steps = row.mean("latency_per_step_s"), row.mean("steps")
        read_bytes_per_s = row.mean("gpu_memory_read_bytes_per_s")
        if row.phase != "decode" or not (step_s and steps and kernel_s and kernels):
            continue
        rows.append(
            DecodeRow(
                label=row.label,
                step_s=step_s,
                kernel_s=kernel_s / steps,
                kernels=kernels / steps,
                floor_s=None if read_bytes_per_s is None else weights_bytes / read_bytes_per_s,
            )
        )
    return rows


def decode_markdown(rows: Sequence[DecodeRow], engine: str) -> str:
    """The rows as a section of a report; nothing where no GPU computed."""
    if not rows:
        return ""
    cells = [
        [
            escaped_markdown(row.label),
            f"{1e3 * row.step_s:.3f}",
            f"{1 / row.step_s:.1f}",
            _text(row.floor_s, 1e3, ".3f"),
            _text(row.share_of_floor, 100, ".0f"),
            f"{row.kernels:.0f}",
            f"{1e3 * row.kernel_s:.3f}",
            f"{1e3 * row.gap_s:.3f}",
        ]
        for row in rows
    ]
    header = (
        *("Mode", "Step (ms)", "Tokens/s", "Floor (ms)", "Floor ÷ step (%)"),
        *("Kernels", "In kernels (ms)", "In none (ms)"),
    )
    return f"""
## A decode step beside its floor, engine `{engine}`

The floor is the weights' bytes ÷ the rate at which this GPU read its memory in the same runs, by
products of a matrix and a vector. Kernels, copies and fills are counted and timed in a
pass of their own.

{markdown_table(header, cells, text_columns=1)}
"""


def _text(value: float | None, factor: float, form: str) -> str:
    return ABSENT if value is None else format(factor * value, form)
