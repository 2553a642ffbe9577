"""The messages between client and worker: typed headers beside tensors grouped by class."""

from typing import Any

import msgspec


class Configure(msgspec.Struct, frozen=True, tag="configure"):
    """Announce the model, without any weights, and what stays of its state."""

    model_config: str  # the transformers configuration as JSON
    dtype: str  # name of the torch dtype of weights, KV cache and logits
    # the state dict's keys, in the order in which weights are always sent
    weight_names: tuple[str, ...]
    engine: str  # name of the engine that runs the model
    placement: str  # name of the placement that says what becomes of the KV cache


class StoreWeights(msgspec.Struct, frozen=True, tag="store_weights"):
    """Keep the accompanying weights for the rest of the session."""

    first: int  # index of the first accompanying tensor in ``Configure.weight_names``


class Forward(msgspec.Struct, frozen=True, tag="forward"):
    """Run one forward pass over the accompanying tokens.

    Weights and KV cache that accompany the message are used for this pass and then forgotten.
    Without accompanying weights the stored ones are used.
    """

    logits_to_keep: int  # number of last positions whose logits are returned; 0 returns all
    positions: int  # number of positions that the passes before have had
    # names what is kept of the KV cache since the pass before; used up by this one
    reference_id: str | None = None


class GreedyForward(Forward, frozen=True, tag="greedy_forward"):
    """The same pass, after which the worker chooses the next token and keeps the logits."""


class Release(msgspec.Struct, frozen=True, tag="release"):
    """Free what a reference ID names."""

    reference_id: str


class Duplicate(msgspec.Struct, frozen=True, tag="duplicate"):
    """Keep a copy of the KV cache that a reference ID names, under another ID."""

    reference_id: str


class Fetch(msgspec.Struct, frozen=True, tag="fetch"):
    """Send the logits that a reference ID names, and keep them no longer."""

    reference_id: str


class Allocate(msgspec.Struct, frozen=True, tag="allocate"):
    """Keep the accompanying tensors, of one class, under these handles."""

    handles: tuple[int, ...]


class Operate(msgspec.Struct, frozen=True, tag="operate"):
    """Execute one ATen operator on tensors that the worker keeps."""

    operator: str  # such as aten.add.Tensor
    # arguments, keywords: values; {"t": handle} is a tensor, {"d": name} what torch calls so, and
    # {"on": type} a device, of which meta is the worker's
    arguments: list[Any]
    keywords: dict[str, Any]
    results: tuple[int, ...]  # the handles of its results, in their order
    released: tuple[int, ...]  # handles that the client needs no more


class Record(msgspec.Struct, frozen=True, tag="record"):
    """Keep operators that follow each other, under a name; nothing is executed."""

    program: str
    operations: tuple[Operate, ...]
    token: int  # the handle of the tensor that a replay's tokens are copied to
    logits: int  # the handle of what goes back


class Replay(msgspec.Struct, frozen=True, tag="replay"):
    """Execute recorded operators on the accompanying tokens, and send the logits."""

    program: str


class Read(msgspec.Struct, frozen=True, tag="read"):
    """Send the logits that a handle names."""

    handle: int
    released: tuple[int, ...]


class StartMeters(msgspec.Struct, frozen=True, tag="start_meters"):
    """Enter meters on the worker's host."""

    around_phase: tuple[str, ...]  # names of those to enter now
    around_passes: tuple[str, ...]  # names of those to enter around each forward pass


class ReadMeters(msgspec.Struct, frozen=True, tag="read_meters"):
    """Leave the meters and send what they read."""


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Do nothing but send so many bytes back; the reply says when."""

    reply_bytes: int


class Computed(msgspec.Struct, frozen=True, order=True):
    """How forward passes were computed, as the thread that computed them saw it."""

    threads: int  # of an operator on a CPU
    device: str  # cpu or cuda
    dtype: str  # of the logits, a name of a torch dtype


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The request was carried out."""

    received_ns: int  # the worker's monotonic clock when its host had the whole request
    delivered_ns: int  # the same clock when the request's tensors were on the device
    # begin_ns, end_ns: the same clock when the handler started and ended
    begin_ns: int
    end_ns: int
    compute_s: float  # duration of the forward pass on the worker's device; 0 if there was none
    cpu_s: float  # processor time the worker process has used since it started, all threads
    # what the meters read, by the meter's name, where that was asked for
    readings: dict[str, dict[str, float]] | None = None
    reference_id: str | None = None  # names the KV cache now kept by the worker
    # gpu_name, gpu_uuid: the GPU that the worker computes on; empty where a CPU does
    gpu_name: str = ""
    gpu_uuid: str = ""


class Chosen(Done, frozen=True, tag="chosen"):
    """A greedy pass was carried out."""

    token_id: int = 0  # the token with the largest logit at the last position
    logits_reference_id: str = ""  # names that position's logits, of shape (vocabulary,)


class MetersRead(Done, frozen=True, tag="meters_read"):
    """The meters were left."""

    # how the passes were computed since the meters were started
    computed: tuple[Computed, ...] = ()


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The request was refused or failed."""

    kind: str  # name of the exception class in ``semgap.errors``
    # cause, remedy: as in ``SemgapError``
    cause: str
    remedy: str


class Encoded(msgspec.Struct, frozen=True):
    """What crossed in place of the tensors of a request and its reply, which were encoded."""

    encode_s: float  # on the client, before the request was sent
    decode_s: float  # on the client, after the reply had come
    # up_bytes, down_bytes: of all tensors that crossed
    up_bytes: int
    down_bytes: int
    # up_list_bytes, down_list_bytes: of them, what only says which tensors they stand for
    up_list_bytes: int
    down_list_bytes: int
    # up_tensors, down_tensors: how many crossed
    up_tensors: int
    down_tensors: int
    held_bytes: int  # what each end now keeps of what crossed


Request = (
    Configure
    | StoreWeights
    | Forward
    | GreedyForward
    | Release
    | Duplicate
    | Fetch
    | Allocate
    | Operate
    | Record
    | Replay
    | Read
    | StartMeters
    | ReadMeters
    | Ping
)
Reply = Done | Chosen | MetersRead | Failed
