"""Memory that tensors were received into is used again, and never while a tensor lies in it."""

import socket
from collections.abc import Iterator

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from semgap.policy import TensorClass
from semgap.protocol import Done
from semgap.transport.tcp_parts.host_memory import BlockPool, HostMemory
from semgap.transport.tcp_parts.tcp_frames import PREFIX, REPLIES, decode, read_prefix
from semgap.transport.tcp_parts.tcp_stream import TcpStream

LARGE = 300_000


@pytest.fixture
def streams() -> Iterator[tuple[TcpStream, TcpStream]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        receiver, _ = listener.accept()
    ends = TcpStream(sender, timeout_s=10), TcpStream(receiver, timeout_s=10)
    yield ends
    for end in ends:
        end.close()


def send_and_receive(streams, memory, tensors):
    sender, receiver = streams
    HostMemory().send(sender, Done(0, 0, 0, 0, 0.0, 0.0), {TensorClass.KV_CACHE: tensors})
    header_bytes, payload_bytes, _departing_ns = read_prefix(receiver.receive(PREFIX.size))
    _header, layouts = decode(REPLIES, receiver.receive(header_bytes), payload_bytes)
    return memory.receive(receiver, layouts[TensorClass.KV_CACHE])


@pytest.mark.parametrize("elements", [10, 40_000])
def test_what_was_received_stays_while_it_is_referred_to(streams, elements):
    memory = HostMemory()
    kept = []
    for number in range(40):
        filled = torch.full((elements,), float(number))
        first, second = send_and_receive(streams, memory, [filled, filled + 0.5])
        # A view into the second one alone must keep the memory of both.
        kept.append(second[1:] if number % 2 else first)
    for number, tensor in enumerate(kept):
        assert (tensor == (number + 0.5 if number % 2 else number)).all()


def test_memory_is_used_again_once_nothing_refers_to_it(streams):
    memory = HostMemory()
    addresses = set()
    for _ in range(20):
        (received,) = send_and_receive(streams, memory, [torch.zeros(LARGE)])
        addresses.add(received.data_ptr())
        del received
    assert len(addresses) <= 2


# Sizes that fall into a few capacities, so that blocks are really taken from each other.
@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("lease"), st.integers(1, 5_000)),
            st.tuples(st.just("drop"), st.integers(0, 9)),
        ),
        max_size=60,
    )
)
def test_no_block_is_lent_twice_at_the_same_time(actions):
    pool = BlockPool()
    held: list[tuple[int, torch.Tensor]] = []
    for mark, (action, number) in enumerate(actions):
        if action == "lease":
            tensor = torch.from_numpy(np.ndarray((number,), "l", pool.lease(number * 8), 0))
            tensor.fill_(mark)
            held.append((mark, tensor[number // 2 :]))
        elif held:
            held.pop(number % len(held))
        assert all((tensor == mark).all() for mark, tensor in held)
