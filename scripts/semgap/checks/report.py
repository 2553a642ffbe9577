"""What the checks found, and the counts of bytes side by side, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from semgap.checks.catalogue import EXPLANATIONS, Finding
from semgap.checks.counts import CountRow
from semgap.markdown import markdown_table
from semgap.traffic import TOLERANCE, TOLERANCE_BYTES_PER_STEP

_ABSENT = "–"


def checks_report(findings: Sequence[Finding]) -> str:
    """Each check with what it asserts and how often it was violated, then all findings."""
    table = markdown_table(
        ("Check", "Asserts that", "Findings"),
        [
            (
                f"`{check}`",
                explanation.asserts,
                str(sum(finding.check is check for finding in findings)),
            )
            for check, explanation in EXPLANATIONS.items()
        ],
        text_columns=2,
    )
    verdict = f"{len(findings)} findings: no table is built." if findings else "No finding."
    listed = [
        f"- `{finding.check}` at {finding.where}: {finding.what}. "
        f"{EXPLANATIONS[finding.check].remedy}"
        for finding in findings
    ]
    return "\n\n".join(("# Checks", verdict, table, *(["\n".join(listed)] if listed else []), ""))


def traffic_report(rows: Sequence[CountRow]) -> str:
    """The content of ``traffic.md``."""
    worst = max(rows, key=_share_of_tolerance)
    disagreeing = [row for row in rows if not row.agrees]
    verdict = (
        f"{len(disagreeing)} of {len(rows)} rows disagree: no table is built."
        if disagreeing
        else f"All {len(rows)} rows agree; the largest difference is "
        f"{_share_of_tolerance(worst):.0%} of its tolerance."
    )
    return "\n\n".join(
        (
            "# Three counts of the same bytes",
            verdict,
            "## Counts",
            _counts_table(rows),
            "TCP payload in bytes, each byte once. Predicted: from the policy, the model's shape "
            "and the transport's framing. Captured: by tcpdump. Kernel: TCP_INFO of the client's "
            "connections (bytes_acked, bytes_received), where what is acknowledged late counts one "
            "phase later. Tolerance: by how much two of the three "
            f"may differ, {100 * TOLERANCE:g} % and {TOLERANCE_BYTES_PER_STEP:,} B a step; 0 where "
            "nothing is to move.",
            "## Prediction by semantic class",
            _classes_table(rows),
            "Bytes in one repeat; every repeat is predicted the same. The last two columns are "
            "modelled: what the messages would take on an Ethernet of that MTU, with all headers "
            "and gaps between frames. Captures on this machine cannot show it, because packets of "
            "up to 64 KB pass through its interfaces whole.",
            "",
        )
    )


def _counts_table(rows: Sequence[CountRow]) -> str:
    header = ("Phase", "Mode", "Repeat", "Direction", "Predicted", "Captured", "Kernel")
    return markdown_table(
        (*header, "Captured − predicted", "Kernel − captured", "Tolerance", "Agree"),
        [
            (
                row.phase.capitalize(),
                row.mode,
                str(row.repeat),
                row.direction,
                f"{row.predicted_bytes:,}",
                _ABSENT if row.captured_bytes is None else f"{row.captured_bytes:,}",
                f"{row.kernel_bytes:,}",
                _difference(row.captured_bytes, row.predicted_bytes),
                _difference(row.kernel_bytes, row.captured_bytes),
                f"{row.tolerance_bytes:,.0f}",
                "yes" if row.agrees else "**no**",
            )
            for row in rows
        ],
        text_columns=4,
    )


def _classes_table(rows: Sequence[CountRow]) -> str:
    first = {(row.phase, row.mode, row.direction): row for row in reversed(rows)}
    header = ("Phase", "Mode", "Direction", "Messages", "Weights", "KV cache", "Tokens", "Logits")
    return markdown_table(
        (*header, "Framing", "Sum", "Wire, MTU 1500", "Wire, MTU 9000"),
        [
            (
                row.phase.capitalize(),
                row.mode,
                row.direction,
                *(
                    f"{count:,}"
                    for count in (
                        row.messages,
                        row.weights_bytes,
                        row.kv_cache_bytes,
                        row.tokens_bytes,
                        row.logits_bytes,
                        row.framing_bytes,
                        row.predicted_bytes,
                        row.wire_mtu_1500_bytes,
                        row.wire_mtu_9000_bytes,
                    )
                ),
            )
            for row in reversed(first.values())
        ],
        text_columns=3,
    )


def _difference(one: int | None, other: int | None) -> str:
    return _ABSENT if one is None or other is None else f"{one - other:+,}"


def _share_of_tolerance(row: CountRow) -> float:
    counts = row.counts.values()
    difference = max(counts) - min(counts)
    if difference == 0:
        return 0.0
    return difference / row.tolerance_bytes if row.tolerance_bytes else float("inf")
