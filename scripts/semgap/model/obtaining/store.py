"""Writing a model's weights where the experiment reads them."""

import logging
from pathlib import Path

from semgap.model.obtaining.sources import WeightSource
from semgap.model.weights import CONFIG_FILE, file_names, shard_plan, write_index, write_shard
from semgap.plumbing.files import write_atomically

log = logging.getLogger(__name__)


def store_weights(source: WeightSource, folder: Path) -> None:
    """Write a folder in the Hub's form, holding one shard's tensors in memory at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob("*.safetensors*"):
        leftover.unlink()
    shards = shard_plan(source.sizes_bytes)
    files = dict(zip(file_names(len(shards)), shards, strict=True))
    for number, (file, names) in enumerate(files.items(), start=1):
        log.info("weights: file %s of %s", number, len(files))
        write_shard(folder, file, {name: source.weight(name) for name in names})
    if len(files) > 1:
        write_index(folder, files, sum(source.sizes_bytes.values()))
    write_atomically(folder / CONFIG_FILE, source.model_config.encode())
