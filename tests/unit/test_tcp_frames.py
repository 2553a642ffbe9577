"""Messages on a tcp connection: what was put in comes out, anything else is refused."""

import hypothesis.strategies as st
import msgspec
import pytest
import torch
from hypothesis import given

from semgap.errors import TransportError
from semgap.policy import TensorClass
from semgap.protocol import Done, Ping, Release
from semgap.transport.tcp_parts.tcp_frames import (
    ALIGNMENT,
    DTYPES,
    PREFIX,
    REPLIES,
    REQUESTS,
    decode,
    encode,
    read_prefix,
)

SHAPES = st.lists(st.integers(0, 5), max_size=4).map(tuple)
TENSORS = st.lists(st.tuples(st.sampled_from(list(DTYPES.values())), SHAPES), max_size=6)
KINDS = st.dictionaries(st.sampled_from(list(TensorClass)), TENSORS.map(tuple)).map(
    lambda groups: tuple(groups.items())
)


def payload_bytes_of(kinds):
    total = 0
    for _name, tensors in kinds:
        end = 0
        for dtype, shape in tensors:
            end += -end % ALIGNMENT
            end += torch.empty(shape, dtype=dtype).nbytes
        total += end
    return total


def read(message, decoder=REQUESTS):
    head_bytes, payload_bytes = read_prefix(memoryview(message))
    assert head_bytes == len(message)
    return decode(decoder, memoryview(message)[PREFIX.size :], payload_bytes)


@given(KINDS)
def test_what_is_encoded_is_decoded(kinds):
    header, layouts = read(encode(Release("id"), kinds, payload_bytes_of(kinds)))
    assert header == Release("id")
    assert [
        (name, tuple((DTYPES[placed.dtype], placed.shape) for placed in layout.tensors))
        for name, layout in layouts.items()
    ] == list(kinds)
    assert sum(layout.size_bytes for layout in layouts.values()) == payload_bytes_of(kinds)
    for layout in layouts.values():
        assert all(placed.offset % ALIGNMENT == 0 for placed in layout.tensors)


@given(st.binary(min_size=PREFIX.size, max_size=200))
def test_other_bytes_are_no_message(data):
    with pytest.raises(TransportError, match="no message of this artifact"):
        read_prefix(memoryview(data))


@given(st.binary(max_size=60))
def test_a_header_of_other_bytes_is_refused(data):
    with pytest.raises(TransportError):
        decode(REQUESTS, memoryview(data), 1)


@given(st.data())
def test_a_damaged_header_is_refused_or_another_valid_one(data):
    kinds = ((TensorClass.TOKENS, ((torch.int64, (1, 3)),)),)
    message = bytearray(encode(Release("id"), kinds, 24))
    position = data.draw(st.integers(PREFIX.size, len(message) - 1))
    message[position] = data.draw(st.integers(0, 255))
    try:
        _header, layouts = decode(REQUESTS, memoryview(message)[PREFIX.size :], 24)
    except TransportError:
        return
    # Whatever it says now, it describes the bytes that were announced and no others.
    assert sum(layout.size_bytes for layout in layouts.values()) == 24


def test_a_reply_is_no_request():
    message = encode(Done(0, 0, 0, 0.0, 0.0), (), 0)
    assert read(message, REPLIES)[0] == Done(0, 0, 0, 0.0, 0.0)
    with pytest.raises(TransportError, match="cannot be understood"):
        read(message, REQUESTS)


def test_an_announced_size_must_be_the_described_one():
    message = encode(Ping(), ((TensorClass.TOKENS, ((torch.int64, (1, 3)),)),), 23)
    with pytest.raises(TransportError, match="announces 23 bytes but describes tensors of 24"):
        read(message)


def test_an_unknown_dtype_or_class_is_refused():
    with pytest.raises(TransportError, match="complex64"):
        encode(Ping(), ((TensorClass.TOKENS, ((torch.complex64, (1,)),)),), 8)
    groups = msgspec.Raw(msgspec.msgpack.encode({"tokens": [["complex", [1]]]}))
    with pytest.raises(TransportError):
        decode(REQUESTS, memoryview(msgspec.msgpack.encode((Ping(), groups))), 8)


def test_a_header_of_absurd_size_is_refused_before_it_is_received():
    with pytest.raises(TransportError, match="no message of this artifact"):
        read_prefix(memoryview(PREFIX.pack(b"sgp1", 1 << 31, 0)))
