"""The messages between client and worker: typed headers beside tensors grouped by class."""

from __future__ import annotations

import msgspec


class Configure(msgspec.Struct, frozen=True, tag="configure"):
    """Announce the model: its architecture, without any weights.

    Attributes:
        model_config: the transformers configuration as JSON.
        dtype: name of the torch dtype of weights, KV cache and logits.
        weight_names: the state dict's keys, in the order in which weights are always sent.
        engine: name of the engine that runs the model.
    """

    model_config: str
    dtype: str
    weight_names: tuple[str, ...]
    engine: str


class StoreWeights(msgspec.Struct, frozen=True, tag="store_weights"):
    """Keep the accompanying weights for the rest of the session.

    Attributes:
        first: index of the first accompanying tensor in ``Configure.weight_names``.
    """

    first: int


class Forward(msgspec.Struct, frozen=True, tag="forward"):
    """Run one forward pass over the accompanying tokens.

    Weights and KV cache that accompany the message are used for this pass and then forgotten.
    Without accompanying weights the stored ones are used.

    Attributes:
        logits_to_keep: number of last positions whose logits are returned; 0 returns all.
        placement: name of the placement that says what becomes of the KV cache, padded: headers
            are of one size in every mode, so that modes differ by tensors alone.
        reference_id: names what is kept of the KV cache since the pass before; used up by this one.
    """

    logits_to_keep: int
    placement: str
    reference_id: str | None = None


class GreedyForward(Forward, frozen=True, tag="greedy_forward"):
    """The same pass, after which the worker chooses the next token and keeps the logits."""


class Release(msgspec.Struct, frozen=True, tag="release"):
    """Free what a reference ID names."""

    reference_id: str


class Fetch(msgspec.Struct, frozen=True, tag="fetch"):
    """Send the logits that a reference ID names, and keep them no longer."""

    reference_id: str


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Ask for nothing but a reply."""


class StartMeters(msgspec.Struct, frozen=True, tag="start_meters"):
    """Enter meters on the worker's host.

    Attributes:
        around_phase: names of those to enter now.
        around_passes: names of those to enter around each forward pass.
    """

    around_phase: tuple[str, ...]
    around_passes: tuple[str, ...]


class ReadMeters(msgspec.Struct, frozen=True, tag="read_meters"):
    """Leave the meters and send what they read."""


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The request was carried out.

    Attributes:
        received_ns: the worker's monotonic clock when it had the whole request.
        begin_ns, end_ns: the same clock when the handler started and ended.
        compute_s: duration of the forward pass on the worker's device; 0 if there was none.
        cpu_s: processor time the worker process has used since it started, all threads.
        readings: what the meters read, by the meter's name, where that was asked for.
        reference_id: names the KV cache now kept by the worker.
        gpu_name, gpu_uuid: the GPU that the worker computes on; empty where a CPU does.
    """

    received_ns: int
    begin_ns: int
    end_ns: int
    compute_s: float
    cpu_s: float
    readings: dict[str, dict[str, float]] | None = None
    reference_id: str | None = None
    gpu_name: str = ""
    gpu_uuid: str = ""


class Chosen(Done, frozen=True, tag="chosen"):
    """A greedy pass was carried out.

    Attributes:
        token_id: the token with the largest logit at the last position.
        logits_reference_id: names that position's logits, of shape (vocabulary,).
    """

    token_id: int = 0
    logits_reference_id: str = ""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The request was refused or failed.

    Attributes:
        kind: name of the exception class in ``semgap.errors``.
        cause, remedy: as in ``SemgapError``.
    """

    kind: str
    cause: str
    remedy: str


Request = (
    Configure
    | StoreWeights
    | Forward
    | GreedyForward
    | Release
    | Fetch
    | Ping
    | StartMeters
    | ReadMeters
)
Reply = Done | Chosen | Failed
