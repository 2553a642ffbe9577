"""What each transport adds to the tensors' own bytes, as it was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec


class Framing(msgspec.Struct, frozen=True):
    """Bytes on a connection beside the content of tensors.

    Attributes:
        request_bytes, reply_bytes: of a message without any tensor.
        tensor_bytes: for each tensor in a message.
        alignment_bytes: tensors of one class begin at multiples of it.
    """

    request_bytes: int
    reply_bytes: int
    tensor_bytes: int
    alignment_bytes: int = 1

    def padding_bytes(self, sizes_bytes: Sequence[int]) -> int:
        """Padding between tensors of one class; none follows the last."""
        return sum(-size_bytes % self.alignment_bytes for size_bytes in sizes_bytes[:-1])


NO_FRAMING = Framing(request_bytes=0, reply_bytes=0, tensor_bytes=0)

# Measured with the kernel's counters on messages of 0 to 280 tensors of 1 to 4 dimensions. With
# shapes and with what a header says they vary by 20 bytes a tensor and 320 a message; the most by
# torch_rpc, which sends 200 to 320 less where there is no tensor.
# tests/unit/test_traffic.py measures them again.
FRAMING: Mapping[str, Framing] = MappingProxyType(
    {
        "torch_rpc": Framing(request_bytes=800, reply_bytes=830, tensor_bytes=107),
        "tcp": Framing(request_bytes=110, reply_bytes=260, tensor_bytes=8, alignment_bytes=64),
    }
)
