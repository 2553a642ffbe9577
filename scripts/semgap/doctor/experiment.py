"""What an experiment needs of a machine, and about how long it takes there."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from semgap.engine import load_engine
from semgap.errors import SemgapError
from semgap.model.manifest import Manifest
from semgap.model.skeleton import ModelSkeleton
from semgap.modes import policy_of
from semgap.pipeline.config import Config
from semgap.placements import Content, load_placement
from semgap.plumbing.files import read_record
from semgap.policy import WorkerPlace

# PyTorch and transformers in client, server and worker.
_LIBRARIES_BYTES = 1_500_000_000
# Interpreter, imports, a worker, tcpdump, the job's own files.
_JOB_S = 4.0
# A rehearsal more than once is the rule; on a GPU two passes under meters follow.
_USUAL_REHEARSALS = 2
_PASSES_UNDER_METERS = 2
_LOOPBACK_BYTES_PER_S = 2e9
# A captured packet of loopback carries up to 64 KB; half of that on average, 112 bytes in the file.
_CAPTURE_SHARE = 112 / 32_768
_PROBE_SIZE = 4096
_CHARACTERS_PER_TOKEN = 4
# Beside the weights as they are stored: a download and its cache; a package at 16 bits at most.
_DOWNLOADED_SHARE = {"hub": 2, "package": 1}


@dataclass(frozen=True)
class Needs:
    """What an experiment needs; sizes are estimates."""

    weights_bytes: int
    disk_bytes: int
    memory_bytes: int
    gpu_memory_bytes: int
    traffic_bytes: int  # over all jobs, what is rehearsed included
    runs: int
    generations: int


def needs_of(config: Config, weights_bytes: int) -> Needs:
    """Estimate from the configuration and the size of its weights."""
    on_gpu = config.worker.device != "cpu"
    per_run = 1 + min(_USUAL_REHEARSALS, config.workload.rehearsals_at_most)
    per_run += _PASSES_UNDER_METERS if on_gpu else 0
    repeats = {mode: config.workload.repeats_of(mode) for mode in config.modes}
    traffic = sum(
        count * _traffic_bytes(mode, weights_bytes, config.workload.decode_steps, per_run)
        for mode, count in repeats.items()
    )
    copies = load_engine(config.worker.engine).WEIGHT_COPIES
    policies = map(policy_of, config.modes)
    # An encoding of weights keeps them on both sides.
    kept = 2 * any(one.encoding and one.weights == "inline" for one in policies)
    downloaded = _DOWNLOADED_SHARE.get(config.model.weights, 0) * weights_bytes
    return Needs(
        weights_bytes=weights_bytes,
        disk_bytes=int(weights_bytes + downloaded + _CAPTURE_SHARE * traffic),
        memory_bytes=_LIBRARIES_BYTES + ((copies if on_gpu else 1 + copies) + kept) * weights_bytes,
        gpu_memory_bytes=int((copies + 0.2) * weights_bytes) if on_gpu else 0,
        traffic_bytes=traffic,
        runs=sum(repeats.values()),
        generations=per_run * sum(repeats.values()),
    )


def _traffic_bytes(mode: str, weights_bytes: int, decode_steps: int, generations: int) -> int:
    """Weights alone: what else crosses is little beside them, or nobody waits for it."""
    policy = policy_of(mode)
    if policy.worker is WorkerPlace.IN_PROCESS:
        return 0
    placement = load_placement(policy.weights)
    step = placement.crossing(Content(weights_bytes, 0, 0))
    return placement.setup_bytes(weights_bytes) + generations * (1 + decode_steps) * (
        step.up + step.down
    )


def weights_bytes_of(config: Config, results: Path, recorded: Sequence[Path]) -> int | None:
    """Bytes of the weights: by the model's shape, or where that is not known before a download, by
    a model of the same name that was described before; None if there is none.
    """
    dtype: torch.dtype = getattr(torch, config.model.dtype)
    text = _model_config(config)
    if text is not None:
        try:
            weights = ModelSkeleton(text, dtype, torch.device("cpu")).weights.values()
        except SemgapError:
            return None
        return sum(weight.numel() * weight.element_size() for weight in weights)
    here = results / config.experiment / "model" / "manifest.json"
    for file in (here, *(folder / "manifest.json" for folder in recorded)):
        if file.exists():
            manifest = read_record(file, Manifest)
            if (manifest.name, manifest.dtype) == (config.model.name, config.model.dtype):
                return manifest.weights_bytes
    return None


def _model_config(config: Config) -> str | None:
    if config.model.architecture is not None:
        return json.dumps(config.model.architecture)
    file = Path(config.model.folder or "") / "config.json"
    return file.read_text(encoding="utf-8") if config.model.folder and file.exists() else None


def duration_s(config: Config, needs: Needs) -> float:
    """About how long all jobs take here, to a factor of two: a processor is measured, a GPU not."""
    parameters = needs.weights_bytes / torch.finfo(getattr(torch, config.model.dtype)).bits * 8
    text = config.workload.prompt_text
    tokens = len(text) // _CHARACTERS_PER_TOKEN if text else config.workload.prompt_tokens
    if config.worker.device == "cpu":
        # Prefill does two operations per parameter and token, decode reads each weight once.
        flops, bytes_per_s = _processor_speed()
        generation_s = 2 * parameters * tokens / flops
        generation_s += config.workload.decode_steps * needs.weights_bytes / bytes_per_s
    else:
        # Eager passes wait for their launches.
        generation_s = 0.05 * (1 + config.workload.decode_steps)
        generation_s += 2 * config.workload.back_to_back_s
    transfer_s = needs.traffic_bytes / _LOOPBACK_BYTES_PER_S
    return needs.runs * _JOB_S + needs.generations * generation_s + transfer_s


def _processor_speed() -> tuple[float, float]:
    """Operations per second of a matrix product, bytes per second of a matrix-vector product."""
    matrix = torch.ones(_PROBE_SIZE, _PROBE_SIZE)
    narrow, vector = torch.ones(_PROBE_SIZE, 128), torch.ones(_PROBE_SIZE)
    product_s = min(_timed(lambda: matrix @ narrow) for _ in range(3))
    read_s = min(_timed(lambda: matrix @ vector) for _ in range(3))
    return 2 * matrix.numel() * 128 / product_s, matrix.numel() * 4 / read_s


def _timed(work: Callable[[], object]) -> float:
    begin_s = time.perf_counter()
    work()
    return time.perf_counter() - begin_s
