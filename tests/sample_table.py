"""A table of made-up runs, for tests of what is published."""

from sample_runs import begin_of, phase, run
from semgap.analysis.notes import Experiment
from semgap.analysis.rows import PHASES, table_rows
from semgap.analysis.summary import MeasuredRun, repeat_rows, summarise
from semgap.analysis.traffic import TrafficRow
from semgap.model.manifest import Manifest
from semgap.modes import policy_of

MODES = ("local", "naive", "remote_cache", "semantic")
LABELS = {mode: policy_of(mode).label for mode in MODES}
MANIFEST = Manifest(
    name="GPT-J test",
    origin="made from seed 0",
    pretrained=False,
    dtype="float32",
    parameters=77_000_000,
    weights_bytes=307_422_080,
    kv_cache=(),
    logits_bytes_per_position=201_600,
    vocabulary_size=50_400,
    max_positions=2048,
    weights_id="gpt-j-test-0",
    fingerprint="f",
    model_config="{}",
    tensors=(),
    files=(),
)


def measured(mode, repeat, latency_s, network_bytes=1000, **more):
    phases = tuple(
        phase(name, begin_of(mode, repeat) + 10 + 2 * index, latency_s)
        for index, name in enumerate(("setup", "prefill", "decode"))
    )
    record = run(mode, repeat, phases=phases, **more)
    source = "tcpdump" if record.capture.captured else "transport"
    traffic = [
        TrafficRow(item.name, direction, source, network_bytes, 0, network_bytes + 66, 1)
        for item in phases
        for direction in ("up", "down")
    ]
    return MeasuredRun(record, traffic)


def rendered(labels=LABELS, repeats=(1, 2, 3), **more):
    """The rows of a table and what its notes speak of."""
    runs = [measured(mode, repeat, 0.1 * repeat, **more) for mode in LABELS for repeat in repeats]
    summary = summarise(repeat_rows(runs))
    experiment = Experiment(
        MANIFEST, [item.record for item in runs], table_rows(summary, labels, ("setup",))
    )
    return table_rows(summary, labels, PHASES), experiment
