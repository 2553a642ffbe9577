"""A table of made-up runs, for tests of what is published."""

from sample_runs import begin_of, phase, run
from semgap.analysis.expectation import Expectation
from semgap.analysis.numbers.numbers import Numbers
from semgap.analysis.numbers.summary import repeat_rows, summarise
from semgap.analysis.numbers.traffic import TrafficRow
from semgap.model.manifest import Manifest
from semgap.model.model_settings import ModelSettings
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


def expectation(labels=LABELS, **changed):
    values = {
        "experiment": "test",
        "weights_id": MANIFEST.weights_id,
        "model": ModelSettings(MANIFEST.name, "seeded"),
        "prompt_tokens": 8,
        "prompt_seed": 0,
        "labels": labels,
        "runs": (),
    }
    return Expectation(**{**values, **changed})


def measured(mode, repeat, latency_s, network_bytes=1000, **more):
    """A run's record, its traffic, and no prediction."""
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
    return record, traffic, ()


def numbers_of(runs, labels=LABELS):
    """The numbers of measured runs."""
    rows = repeat_rows(runs)
    records = [record for record, *_ in runs]
    return Numbers(expectation(labels), MANIFEST, records, (), rows, summarise(rows))


def recorded(*records, labels=LABELS):
    """Records without numbers, for reports that show nothing else."""
    return Numbers(expectation(labels), MANIFEST, records)


def rendered(labels=LABELS, repeats=(1, 2, 3), **more):
    """The numbers of a table of ordinary runs."""
    runs = [measured(mode, repeat, 0.1 * repeat, **more) for mode in LABELS for repeat in repeats]
    return numbers_of(runs, labels)
