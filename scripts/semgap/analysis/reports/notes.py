"""The notes under the table: what was measured, how, and what makes it less certain."""

from collections import Counter
from collections.abc import Iterator, Sequence

from semgap.analysis.numbers.comparison import BASELINE_MODE, half_width_percent, is_precise
from semgap.analysis.numbers.numbers import Numbers, TableRow
from semgap.analysis.numbers.run_order import order_text
from semgap.analysis.numbers.summary import SAMPLING_METERS
from semgap.analysis.reports.claims import count_text
from semgap.analysis.reports.columns import gigabytes_text, latency_text, significant
from semgap.analysis.reports.latency import budget_warnings, clock_note, clock_warnings, work_notes
from semgap.analysis.reports.link import clock_notes, limit_of_link, link_notes, place_of_client
from semgap.analysis.reports.provenance import commit_text
from semgap.analysis.reports.statistics import supported
from semgap.analysis.reports.warnings import warnings
from semgap.measurement.run_record import RunRecord, settled
from semgap.model.manifest import Manifest
from semgap.plumbing.markup import escaped_markdown
from semgap.policy import WorkerPlace

WARNINGS = "Warnings"
_FAR_POINTS = 10.0


def notes(numbers: Numbers) -> dict[str, list[str]]:
    """Sentences in Markdown by heading, what makes the numbers less certain first."""
    manifest, record, rows = numbers.manifest, numbers.records[0], numbers.table
    steps = record.settings.workload.decode_steps
    machine, versions = record.computed_on.machine, record.versions
    places = {one.transport for one in numbers.records} - {str(WorkerPlace.IN_PROCESS)}
    tolerance = max(one.policy.logit_tolerance for one in numbers.records)
    groups = {
        WARNINGS: [
            f"**Warning**: {what}."
            for what in (
                *warnings([row.quantities["latency_s"] for row in rows], numbers.records),
                *clock_warnings(numbers.clocks),
                *budget_warnings(numbers.budgets),
            )
        ],
        "What was run": [
            f"Experiment `{record.settings.experiment}`: {manifest.name} "
            f"({manifest.parameters / 1e6:,.1f} M parameters, {manifest.weights_bytes / 1e6:,.2f} "
            f"MB of {manifest.dtype}), weights {manifest.origin}{_kind_of_weights(manifest)}; "
            f"{record.prompt_tokens}-token prompt, {steps} decode steps.",
            *_answer_notes(numbers),
            f"Computed on {machine.gpu or f'{machine.cpu}, {record.compute_threads} threads'}; "
            f"{machine.cores:g} cores, {machine.memory_bytes / 1e9:.1f} GB; Linux "
            f"{machine.kernel}, Python {versions.python}, torch {versions.torch}, transformers "
            f"{versions.transformers}.",
            _commit_note(numbers.records),
            f"Transport: {', '.join(sorted(places)) or 'none'}; TCP connections on interface "
            f"{record.capture.interface}; {place_of_client(numbers.records)}"
            f"{_polling(numbers.records)}.",
            *link_notes(numbers.records),
            *clock_notes(numbers.records),
            *_setup_notes(numbers.setup),
        ],
        "What the data support": [
            _repeats_note(rows, numbers.records),
            *_stopping_notes(numbers),
            _token_note(rows),
            *supported(numbers.comparisons, numbers.labels),
            *work_notes(numbers),
            "Every repeat of every mode gave the same tokens as `local`, with logits within the "
            f"tolerance of its policy (at most {tolerance:g}).",
            f"Claims (claims.md): {count_text(numbers.claims)}.",
            f"Limits: {limit_of_link(numbers.records)}; the semantic-blind "
            "baselines are simulated at PyTorch level.",
        ],
        "How it was measured": [
            _rehearsal_note(numbers.records),
            clock_note(numbers.clocks),
            _network_note(record),
            *_utilisation_notes(rows, record),
        ],
    }
    return {heading: said for heading, said in groups.items() if said}


def _kind_of_weights(manifest: Manifest) -> str:
    packed = manifest.dequantised_from
    if packed is None:
        return "" if manifest.pretrained else "; this is not the pretrained model"
    formats = ", ".join(f"{name} ({count} tensors)" for name, count in packed.tensors.items())
    return (
        f", file {escaped_markdown(packed.name)} (SHA-256 {packed.sha256}), converted to "
        f"{manifest.dtype} from {formats}: a pretrained model as it was quantised, no better"
    )


def _answer_notes(numbers: Numbers) -> Iterator[str]:
    for answer in numbers.answer:
        prompt, continuation = (
            escaped_markdown(" ".join(text.split()))
            for text in (answer.prompt_text, answer.continuation)
        )
        yield f"Prompt, and what every mode continued it with: “{prompt}” — “{continuation}”"


def _polling(records: Sequence[RunRecord]) -> str:
    poll_s = max(record.client_poll_s for record in records)
    return (
        f"; a client that waits for a reply stays awake for {1e3 * poll_s:g} ms" if poll_s else ""
    )


def _rehearsal_note(records: Sequence[RunRecord]) -> str:
    workload = records[0].settings.workload
    unsettled = Counter(
        record.mode for record in records if not settled(record.rehearsals, workload)
    )
    modes = ", ".join(f"{mode} {runs}" for mode, runs in unsettled.items())
    shortened = {
        record.mode: f" Those of {record.mode} ended after {rehearsal.decode_steps} of "
        f"{workload.decode_steps} decode steps."
        for record in records
        for rehearsal in record.rehearsals
        if (rehearsal.decode_steps or workload.decode_steps) < workload.decode_steps
    }
    return (
        f"Warm-up: each run rehearsed both phases until two rehearsals in a row agreed within a "
        f"ratio of {workload.rehearsals_agree_ratio:g} or one took several seconds, at most "
        f"{workload.rehearsals_at_most} times; not reached in {unsettled.total()} of "
        f"{len(records)} runs"
        + (f" ({modes})." if unsettled else ".")
        + "".join(shortened.values())
    )


def _commit_note(records: Sequence[RunRecord]) -> str:
    sources = {
        (record.provenance.commit[:12] or commit_text(record.provenance))
        + (" with local changes" if record.provenance.dirty else "")
        for record in records
    }
    return f"Measured at commit {', '.join(sorted(sources))}."


def _stopping_notes(numbers: Numbers) -> Iterator[str]:
    rule = numbers.expectation.stopping
    if rule is None:
        return
    short = [
        f"{row.phase} of {row.mode} ± {reached:.0f} %"
        for row in numbers.comparisons
        if row.baseline == BASELINE_MODE and not is_precise(row, rule)
        for reached in (half_width_percent(row),)
        if reached is not None
    ]
    outcome = f"not reached: {', '.join(short)}" if short else "reached by all"
    yield (
        "Repeats were added until the 95 % interval of each mode's "
        f"latency ÷ `local`'s was within ± {rule.within_percent:g} %, at most {rule.at_most} per "
        f"mode; {outcome}. When to "
        "stop was decided by these data, so intervals are a little too narrow."
    )


def _repeats_note(rows: Sequence[TableRow], records: Sequence[RunRecord]) -> str:
    measured = "latency is the whole phase, without start-up, loading and warm-up"
    counts = {row.mode: row.quantities["latency_s"].n for row in rows}
    if set(counts.values()) == {1}:
        return f"One repeat per mode: {measured}; no deviation can be given."
    (usual, _), *others = Counter(counts.values()).most_common()
    exceptions = ", ".join(f"{mode} {n}" for mode, n in counts.items() if n != usual)
    return (
        f"n = {usual} repeats per mode{f' ({exceptions})' if others else ''}, "
        f"{order_text(records)}; "
        f"{measured}, mean ± sample standard deviation (n−1)."
    )


def _network_note(record: RunRecord) -> str:
    if record.capture.captured:
        return (
            "Network: TCP payload of both directions over the whole phase, retransmissions not "
            "counted (1 GB = 1e9 bytes), captured by tcpdump without drops; mean of the repeats."
        )
    return (
        f"Network: NOT captured by tcpdump ({record.capture.reason}). The transport counts "
        "instead: content of the tensors alone, without framing, and 0 where client and worker are "
        "one process (1 GB = 1e9 bytes); mean of the repeats."
    )


def _token_note(rows: Sequence[TableRow]) -> str:
    per_token = [
        f"{escaped_markdown(row.label)} {significant(row.quantities['latency_per_step_s'].mean)} s "
        f"({row.quantities['tokens_per_s'].mean:.3g} tokens/s)"
        for row in rows
        if row.phase == "decode"
    ]
    return (
        "Time to first token is the prefill's latency; time per output token, decode latency ÷ "
        f"steps: {'; '.join(per_token)}. Percentiles are in summary.csv (docs/terms.md)."
    )


def _utilisation_notes(rows: Sequence[TableRow], record: RunRecord) -> Iterator[str]:
    if not record.computed_on.machine.gpu:
        yield (
            "GPU Util: – because a CPU computed; the worker's processor use is in table.csv "
            "(mean_worker_cpu_percent, 100 = one core)."
        )
        return
    yield "GPU Util: time in GPU kernels (CUPTI, in a pass of its own) ÷ the phase's wall time."
    seconds = record.settings.workload.back_to_back_s
    for meter in SAMPLING_METERS:
        quantity = f"gpu_{meter}_above_kernel_points"
        differences = [row.mean(quantity) for row in rows]
        known = [difference for difference in differences if difference is not None]
        if not known:
            continue
        far = [
            f"{escaped_markdown(row.label)}, {row.phase}: {_utilisations(row, meter)}"
            for row in rows
            if abs(row.mean(quantity) or 0.0) > _FAR_POINTS
        ]
        yield (
            f"{meter}, with each phase back to back (once, or for {seconds:g} s), reads "
            f"{min(known):+.0f} to {max(known):+.0f} percentage points beside kernel time. It "
            "counts a whole window as used if any kernel ran in it, so gaps between kernels count "
            "as use; and phases back to back wait less or more for the client than a single one"
            + (f". Above {_FAR_POINTS:g} points: {'; '.join(far)}." if far else ".")
        )


def _utilisations(row: TableRow, meter: str) -> str:
    """What two instruments say of a phase, and how long it took single and back to back."""
    values = [
        row.mean(name) or 0.0
        for name in (
            f"gpu_{meter}_percent",
            "gpu_kernel_percent",
            "latency_s",
            "back_to_back_latency_s",
        )
    ]
    sampled, kernels, *latencies = values
    single_s, back_to_back_s = map(significant, latencies)
    return (
        f"{sampled:.0f} % where kernels took {kernels:.0f} % (timed {single_s} s, back to back "
        f"{back_to_back_s} s)"
    )


def _setup_notes(setup: Sequence[TableRow]) -> list[str]:
    shipped = [
        f"{escaped_markdown(row.label)} {gigabytes_text(row)} GB in {latency_text(row)} s"
        for row in setup
        if row.mean("tensor_up_bytes") and row.mean("network_bytes")
    ]
    if not shipped:
        return []
    return [f"Setup (weights shipped once, before the phases above): {'; '.join(shipped)}."]
