"""What the experiment's model is, as a record."""

from __future__ import annotations

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
    """What the experiment's model is.

    Attributes:
        name: the model's name in the table.
        origin: where its weights come from, as the table says it.
        pretrained: whether the weights are the pretrained ones.
        dtype: name of the torch dtype of weights, KV cache and logits.
        parameters: number of parameters, tied ones counted once.
        weights_bytes: bytes of the state dict (parameters and persistent buffers).
        kv_cache_tensors: number of tensors that the KV cache consists of.
        kv_cache_bytes_per_token: bytes by which one position extends the KV cache.
        logits_bytes_per_position: bytes of one position's logits.
        vocabulary_size: number of logits a position.
        max_positions: the model's context length in tokens.
        weights_id: name of the folder of its weights; another for each source, seed and dtype.
        fingerprint: SHA-256 over configuration, dtype and weight files.
        model_config: the transformers configuration as JSON.
    """

    name: str
    origin: str
    pretrained: bool
    dtype: str
    parameters: int
    weights_bytes: int
    kv_cache_tensors: int
    kv_cache_bytes_per_token: int
    logits_bytes_per_position: int
    vocabulary_size: int
    max_positions: int
    weights_id: str
    fingerprint: str
    model_config: str
    tensors: tuple[WeightTensor, ...]
    files: tuple[WeightFile, ...]
