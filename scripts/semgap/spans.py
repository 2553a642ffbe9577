"""What a step's latency consists of."""

from __future__ import annotations

from semgap.records import StepRecord


def spans_of(step: StepRecord) -> dict[str, float]:
    """The spans that a step's latency is the sum of, in their order, by what they are."""
    return {
        "client serialises": step.serialise_s,
        "client sends": step.send_s,
        "worker queues": step.queue_s,
        "host to device": step.upload_s,
        "compute": step.compute_s,
        "worker, other": step.worker_s - step.compute_s,
        "device to host": step.download_s,
        "client receives": step.receive_s,
    }
