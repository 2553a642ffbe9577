"""provenance.md: what the numbers of a table depend on, and the files that each came from."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from semgap.analysis.numbers.numbers import Numbers
from semgap.analysis.reports.columns import COLUMNS
from semgap.measurement.run_record import RunRecord
from semgap.model.manifest import Manifest
from semgap.plumbing.markup import escaped_markdown, markdown_table
from semgap.plumbing.provenance import Host, Provenance

# Of a digest, enough to recognise it.
_DIGITS = 12


def provenance_markdown(numbers: Numbers) -> str:
    """What all runs share, what each has of its own, and where each column is read."""
    records, manifest = numbers.records, numbers.manifest
    shared = [
        (escaped_markdown(name), _values(found)) for name, found in _shared(records, manifest)
    ]
    ordered = sorted(records, key=lambda record: record.started_unix_ns)
    runs = [_run_cells(record) for record in ordered]
    columns = markdown_table(
        ("Column", "Quantity in `summary.csv`", "Read from"),
        [(column.header, column.quantity, column.source) for column in COLUMNS],
        text_columns=3,
    )
    header = (
        *("Begun (UTC)", "Mode", "Repeat", "Load average"),
        *("Code", "Session", "Logits", "Capture"),
    )
    return f"""\
# Where the numbers come from

## Each column

Each repeat's number is a row of `repeats.csv`; `summary.csv` has their mean, deviation and
interval, which the table rounds; `table.csv` does not round.

{columns}

## What the runs share

Where runs differ, all that was found.

{markdown_table(("What", "Value"), shared, text_columns=2)}

## Each run

In the order in which they were measured. Digests are the first {_DIGITS} digits of SHA-256 over
the job's code and over the files that were written with the record.

{markdown_table(header, runs, text_columns=3)}
"""


def _shared(
    records: Sequence[RunRecord], manifest: Manifest
) -> Iterator[tuple[str, Sequence[str]]]:
    checkouts = [
        *(one.provenance for one in records),
        *(one.computed_on.provenance for one in records),
    ]
    yield "Commit", [commit_text(one) for one in checkouts]
    yield "Changed since the commit", [_yes(one.dirty) for one in checkouts]
    yield "Model", [f"{manifest.name}, {manifest.origin}, {manifest.dtype}"]
    yield "Model's fingerprint", [one.model_fingerprint[:_DIGITS] for one in records]
    yield (
        "Prompt",
        [f"{one.prompt_tokens} tokens, {one.prompt_sha256[:_DIGITS]}" for one in records],
    )
    yield "Engine", [one.settings.worker.engine for one in records]
    yield "Transport", [one.transport for one in records]
    hosts = [one.computed_on for one in records]
    yield from _of_hosts("", hosts)
    clients = [Host(one.machine, one.provenance) for one in records if one.worker_host]
    if clients:
        yield from _of_hosts("Client's ", clients)
    gpus = [host.provenance.gpu for host in hosts]
    yield (
        "GPU",
        [
            f"{host.machine.gpu}, {gpu.uuid}" if gpu else "none"
            for host, gpu in zip(hosts, gpus, strict=True)
        ],
    )
    known = [gpu for gpu in gpus if gpu]
    if known:
        yield "GPU driver, CUDA of torch", [f"{gpu.driver}, {gpu.cuda}" for gpu in known]
        yield "GPU partitioned", [_yes(gpu.partitioned) for gpu in known]
    yield "Python", [one.versions.python for one in records]
    for package in sorted({name for one in records for name in one.provenance.packages}):
        yield package, [one.provenance.packages.get(package, "none") for one in records]


def _of_hosts(whose: str, hosts: Sequence[Host]) -> Iterator[tuple[str, Sequence[str]]]:
    for name, values in (
        ("Machine", [f"{one.machine.cpu}, {one.machine.cores:g} cores" for one in hosts]),
        ("Main memory", [f"{one.machine.memory_bytes / 1e9:.1f} GB" for one in hosts]),
        ("Kernel", [one.machine.kernel for one in hosts]),
        ("Governor of the clock", [one.provenance.governor or "unknown" for one in hosts]),
        ("Clock source", [one.provenance.clock_source or "unknown" for one in hosts]),
    ):
        yield (whose + name.lower() if whose else name), values


def _run_cells(record: RunRecord) -> tuple[str, ...]:
    begun = datetime.fromtimestamp(record.started_unix_ns / 1e9, UTC)
    return (
        f"{begun:%Y-%m-%d %H:%M:%S}",
        record.mode,
        str(record.repeat),
        f"{record.provenance.load_average:.2f}",
        *(
            f"`{digest[:_DIGITS]}`" if digest else "–"
            for digest in (
                record.provenance.code,
                record.session_id,
                record.logits_sha256,
                record.capture_sha256,
            )
        ),
    )


def _values(found: Sequence[str]) -> str:
    return escaped_markdown("; ".join(dict.fromkeys(found)))


def commit_text(provenance: Provenance) -> str:
    """The commit, or why it is unknown."""
    return provenance.commit or f"unknown: {provenance.no_commit}"


def _yes(said: bool | None) -> str:
    return "unknown" if said is None else "yes" if said else "no"
