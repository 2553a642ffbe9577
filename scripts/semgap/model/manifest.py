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


class Manifest(msgspec.Struct, frozen=True):
    """Describes the experiment's model."""

    name: str  # the model's name in the table
    origin: str  # where its weights come from, as the table says it
    pretrained: bool  # whether the weights are the pretrained ones
    dtype: str  # name of the torch dtype of weights, KV cache and logits
    parameters: int  # number of parameters, tied ones counted once
    weights_bytes: int  # bytes of the state dict (parameters and persistent buffers)
    kv_cache_tensors: int  # number of tensors that the KV cache consists of
    kv_cache_bytes_per_token: int  # bytes of the KV cache per position
    logits_bytes_per_position: int  # bytes of one position's logits
    vocabulary_size: int  # logits per position
    max_positions: int  # the model's context length in tokens
    weights_id: str  # name of the folder of its weights; another for each source, seed and dtype
    fingerprint: str  # SHA-256 over configuration, dtype and weight files
    model_config: str  # the transformers configuration as JSON
    tensors: tuple[WeightTensor, ...]
    files: tuple[WeightFile, ...]
