"""How a message is cut into the slots through which it leaves a GPU; no GPU is needed."""

import hypothesis.strategies as st
import torch
from hypothesis import given

from semgap.transport.tcp_parts.cuda_memory import in_slots, padded_bytes
from semgap.transport.tcp_parts.tcp_frames import ALIGNMENT


@given(st.lists(st.integers(0, 300), max_size=8), st.integers(ALIGNMENT, 400))
def test_slots_hold_each_byte_once_where_the_receiver_looks_for_it(sizes, slot_bytes):
    group = [torch.arange(size, dtype=torch.uint8) for size in sizes]
    expected = bytearray()
    for tensor in group:
        expected += bytes(-len(expected) % ALIGNMENT) + bytes(tensor.tolist())
    sent = bytearray()
    for used, pieces in in_slots(padded_bytes(group), slot_bytes):
        assert 0 < used <= slot_bytes
        slot = torch.zeros(used, dtype=torch.uint8)
        for offset, piece in pieces:
            slot[offset : offset + piece.nbytes] = piece
        sent += bytes(slot.tolist())
    assert sent == expected
