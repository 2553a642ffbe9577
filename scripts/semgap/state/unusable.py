"""What came for one step must serve no other."""

import torch
from torch import Tensor


def make_unusable(tensor: Tensor) -> None:
    """Put a NaN into every row, so that no later computation with it gives an answer.

    One per row is enough, since an operator's result depends on every row that it reads. It costs a
    tenth of filling the tensor, and the next request arrives meanwhile. Integers, which have no
    NaN, become 0.
    """
    if tensor.is_floating_point():
        (tensor[..., :1] if tensor.dim() else tensor).fill_(torch.nan)
    else:
        tensor.zero_()
