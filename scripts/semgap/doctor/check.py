"""All that an experiment needs, and experiments beside each other."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from semgap.analysis.numbers.versus import recorded_in
from semgap.doctor import Finding, Level
from semgap.doctor.experiment import duration_s, needs_of, weights_bytes_of
from semgap.doctor.host import (
    check_compiler,
    check_disk,
    check_gpu,
    check_machine,
    check_memory,
    check_writable,
)
from semgap.doctor.network import check_capture, check_port, check_tools
from semgap.errors import ConfigError
from semgap.pipeline.config import read_config
from semgap.plumbing.markup import markdown_table

_RESULTS = Path("results")


def check_experiment(config_files: Sequence[Path], reference: Path) -> Iterator[Finding]:
    """Check the machine for one configuration."""
    try:
        config = read_config(*config_files)
    except ConfigError as error:
        yield Finding("configuration", Level.PROBLEM, error.cause, error.remedy)
        return
    yield Finding("configuration", Level.OK, f"{config_files[0]}: experiment '{config.experiment}'")
    yield from check_machine()
    yield check_writable(_RESULTS)
    weights_bytes = weights_bytes_of(config, _RESULTS, recorded_in(reference))
    if weights_bytes is None:
        yield Finding("model", Level.NOTE, "Its size is not known before it is downloaded.")
    needs = needs_of(config, weights_bytes or 0)
    yield check_memory(needs.memory_bytes)
    yield check_disk(_RESULTS, needs.disk_bytes)
    yield check_port(config.server)
    yield check_capture(config.capture)
    yield from check_gpu(config.worker.device, needs.gpu_memory_bytes)
    yield from check_compiler(config.worker)
    yield from check_tools()


def overview(config_files: Sequence[Path], reference: Path) -> str:
    """What each experiment needs, and about how long it takes here."""
    rows = []
    for file in dict.fromkeys(config_files):
        config = read_config(file)
        weights_bytes = weights_bytes_of(config, _RESULTS, recorded_in(reference))
        if weights_bytes is None:
            rows.append([str(file), config.worker.device, *["?"] * 4])
            continue
        needs = needs_of(config, weights_bytes)
        rows.append(
            [
                str(file),
                config.worker.device,
                f"{needs.memory_bytes / 1e9:.1f}",
                f"{needs.disk_bytes / 1e9:.1f}",
                str(needs.runs),
                f"{max(1, round(duration_s(config, needs) / 60))}",
            ]
        )
    header = ("Experiment", "Device", "Memory (GB)", "Disk (GB)", "Jobs", "About (min)")
    return f"\n{markdown_table(header, rows, text_columns=2)}"
