"""Writing a model's weights where the experiment reads them."""

from __future__ import annotations

import logging
from pathlib import Path

from semgap.model.sources import WeightSource
from semgap.model.weights import CONFIG_FILE, shard_plan, write_shard
from semgap.records import write_atomically

log = logging.getLogger(__name__)


def store_weights(source: WeightSource, folder: Path) -> None:
    """Write ``config.json`` and safetensors shards, holding one shard in memory at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob("*.safetensors"):
        leftover.unlink()
    shards = shard_plan(source.sizes_bytes)
    for index, names in enumerate(shards):
        log.info("weights: shard %s of %s", index + 1, len(shards))
        write_shard(folder, index, len(shards), {name: source.weight(name) for name in names})
    write_atomically(folder / CONFIG_FILE, source.model_config.encode())
