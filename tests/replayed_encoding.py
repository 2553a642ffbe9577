"""What the content-addressed mode must move, replayed from the tensors of its messages.

Written apart from what it judges, of which it imports nothing: sets of what the other side has
seen, by the chunks and hashes that docs/modes.md names.
"""

import msgspec
import numpy as np
import torch
from pyfastcdc import FastCDC
from xxhash import xxh3_64_digest, xxh3_128_digest

FINE = FastCDC(avg_size=256, min_size=64, max_size=1024, normalized_chunking=0)
COARSE = FastCDC(avg_size=65536, normalized_chunking=0)
FINE_BELOW = 32 * 1024 * 1024


class Replay:
    """One session; nothing of it is evicted."""

    def __init__(self):
        self.wholes = set()
        self.chunks = set()

    def crossed_bytes(self, groups):
        """Bytes that cross for a message: of the lists, and of the chunks."""
        lists = chunks = 0
        for tensors in groups:
            described = []
            for tensor in tensors:
                description, new = self._described(tensor)
                described.append(description)
                chunks += new
            lists += len(msgspec.msgpack.encode(described))
        return lists, chunks

    def _described(self, tensor):
        raw = np.frombuffer(tensor.contiguous().view(-1).view(torch.uint8).numpy(), np.uint8)
        whole, name = xxh3_128_digest(raw), str(tensor.dtype).split(".")[1]
        if whole in self.wholes:
            return (name, list(tensor.shape), whole, None, []), 0
        self.wholes.add(whole)
        hashes, new = [], []
        for chunk in (FINE if raw.nbytes < FINE_BELOW else COARSE).cut_buf(raw.data):
            hashes.append(xxh3_64_digest(chunk.data))
            if hashes[-1] not in self.chunks:
                self.chunks.add(hashes[-1])
                new.append(len(chunk.data))
        return (name, list(tensor.shape), whole, b"".join(hashes), new), sum(new)
