"""The record that describes the experiment's model."""

import msgspec


class WeightFile(msgspec.Struct, frozen=True):
    """One file of the stored weights."""

    name: str
    size_bytes: int
    sha256: str


class WeightTensor(msgspec.Struct, frozen=True):
    """One tensor of the state dict, in the order in which weights are sent."""

    name: str
    shape: tuple[int, ...]
    size_bytes: int


class GgufFile(msgspec.Struct, frozen=True):
    """The GGUF file that weights come from."""

    name: str
    sha256: str
    tensors: dict[str, int]  # how many tensors it has in each of its formats


class CacheTensor(msgspec.Struct, frozen=True):
    """One tensor of the KV cache, and how its size grows."""

    name: str  # layer, attribute and, where there are several, number
    fixed_bytes: int
    bytes_per_position: int  # 0 for a state of a fixed size
    most_positions: int | None  # the most positions that a window keeps; None without one


class Manifest(msgspec.Struct, frozen=True):
    """Describes the experiment's model."""

    name: str  # the model's name in the table
    origin: str  # where its weights come from, as the table says it
    pretrained: bool  # whether the weights are the pretrained ones
    dtype: str  # name of the torch dtype of weights, KV cache and logits
    parameters: int  # number of parameters, tied ones counted once
    weights_bytes: int  # bytes of the state dict (parameters and persistent buffers)
    kv_cache: tuple[CacheTensor, ...]
    logits_bytes_per_position: int  # bytes of one position's logits
    vocabulary_size: int  # logits per position
    max_positions: int | None  # the model's context length in tokens; None where it has no limit
    weights_id: str  # name of the folder of its weights; another for each source, seed and dtype
    fingerprint: str  # SHA-256 over configuration, dtype and weight files
    model_config: str  # the transformers configuration as JSON
    tensors: tuple[WeightTensor, ...]
    files: tuple[WeightFile, ...]
    dequantised_from: GgufFile | None = None  # where the weights were packed

    def kv_cache_bytes(self, positions: int) -> int:
        """Size of the KV cache after so many positions."""
        return sum(
            tensor.fixed_bytes
            + tensor.bytes_per_position
            * min(positions, positions if tensor.most_positions is None else tensor.most_positions)
            for tensor in self.kv_cache
        )


class Agreement(msgspec.Struct, frozen=True):
    """How far an engine's passes over the stored weights were from transformers' own."""

    engine: str
    dtype: str
    token_ids: tuple[int, ...]  # of the prefill and of each decode step
    largest_difference: float  # of all logits
    largest_logit: float
    tolerance: float  # for the difference of a logit
    prompt_text: str | None = None  # None for a prompt of random tokens
    continuation: str | None = None  # the text of token_ids
