"""What is sent over the link: memory that was written, as messages of every size."""

import torch
from torch import Tensor


class Payload:
    """Bytes to send.

    They are ones: zeros that were never written would be one page, read over and over.
    """

    def __init__(self, size_bytes: int) -> None:
        self._all = torch.ones(size_bytes, dtype=torch.uint8)
        self.size_bytes = size_bytes

    def message(self, size_bytes: int) -> Tensor:
        """The first bytes, as a tensor whose storage is no larger.

        PyTorch RPC copies a tensor that is a small part of its storage before it sends it, which
        no weight of a step is.
        """
        return torch.frombuffer(self._all.numpy(), dtype=torch.uint8, count=size_bytes)
