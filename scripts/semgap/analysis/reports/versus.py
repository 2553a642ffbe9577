"""versus-reference.md: an experiment beside the recorded one of the nearest kind."""

from collections.abc import Mapping, Sequence

from semgap.analysis.numbers.counts import FRAMING_BYTES_PER_MESSAGE
from semgap.analysis.numbers.versus import VersusRow
from semgap.analysis.reports.statistics import ratio_text
from semgap.plumbing.markup import escaped_markdown, markdown_table
from semgap.policy import Label

_PHASES = ("setup", "prefill", "decode")
_OTHER_COUNT = """
One of them was counted without a capture, so the content of tensors is compared, without framing:
it must be equal."""
_NOTHING = """\
# Beside recorded results

No recorded experiment ran this model with a prompt and steps of these numbers, so there is nothing
to compare with. `results/reference/` lists what is recorded.
"""


def versus_markdown(rows: Sequence[VersusRow], labels: Mapping[str, Label]) -> str:
    """Bytes with a verdict, and latencies as ratios to ``local`` without one."""
    if not rows:
        return _NOTHING
    modes = list(labels)
    ordered = sorted(
        (row for row in rows if row.mode in labels),
        key=lambda row: (_PHASES.index(row.phase), modes.index(row.mode)),
    )
    of_bytes = [row for row in ordered if row.agreement is not None]
    ratios = [row for row in ordered if row.agreement is None]
    is_content = any(row.quantity == "tensor_bytes" for row in of_bytes)
    sizes = markdown_table(
        ("Phase", "Mode", "Recorded", "Here", "Difference", "Tolerance", "Verdict"),
        [
            [
                *_names(row, labels),
                f"{row.recorded:,.0f}",
                f"{row.here:,.0f}",
                f"{row.here - row.recorded:+,.0f}",
                f"{row.tolerance:,.0f}",
                str(row.agreement),
            ]
            for row in of_bytes
        ],
        text_columns=2,
    )
    latencies = markdown_table(
        ("Phase", "Mode", "Recorded", "Here"),
        [
            [
                *_names(row, labels),
                ratio_text(row.recorded, row.recorded_low, row.recorded_high),
                ratio_text(row.here, row.here_low, row.here_high),
            ]
            for row in ratios
        ],
        text_columns=2,
    )
    return f"""\
# Beside recorded results: {rows[0].reference}

`results/reference/{rows[0].reference}/` has the same model and workload.

## Bytes

TCP payload, mean of the repeats. On any hardware both agree within
{FRAMING_BYTES_PER_MESSAGE} bytes a message and the difference of two transports' framing; where
they do not, something else was moved.{_OTHER_COUNT if is_content else ""}

{sizes}

## Latency ÷ local

Geometric mean over the rounds and 95 % interval (Student's t of the logarithms). Hardware and
transport decide these: they are to be read, not to be met.

{latencies}
"""


def _names(row: VersusRow, labels: Mapping[str, Label]) -> list[str]:
    return [row.phase.capitalize(), escaped_markdown(labels[row.mode].text)]
