"""Messages on a tcp connection: what was put in comes out, anything else is refused."""

import hypothesis.strategies as st
import msgspec
import pytest
import torch
from hypothesis import given

from semgap.errors import TransportError
from semgap.policy import TensorClass
from semgap.protocol import Done, ReadMeters, Release
from semgap.transport.tcp_parts.tcp_frames import (
    ALIGNMENT,
    DTYPES,
    PREFIX,
    REPLIES,
    REQUESTS,
    decode,
    encode,
    head_of,
    read_prefix,
)

SHAPES = st.lists(st.integers(0, 5), max_size=4).map(tuple)
TENSORS = st.lists(st.builds(torch.zeros, SHAPES, dtype=st.sampled_from(list(DTYPES.values()))))
GROUPS = st.dictionaries(st.sampled_from(list(TensorClass)), TENSORS)
THREE_TOKENS = {TensorClass.TOKENS: [torch.zeros(1, 3, dtype=torch.int64)]}


def written(header, groups):
    encoded, layouts = encode(header, groups)
    payload_bytes = sum(layout.size_bytes for layout in layouts)
    return head_of(encoded, payload_bytes, 1234567890123), layouts


def read(message, decoder=REQUESTS):
    header_bytes, payload_bytes, departing_ns = read_prefix(message[: PREFIX.size])
    assert departing_ns == 1234567890123
    assert PREFIX.size + header_bytes == len(message)
    return decode(decoder, message[PREFIX.size :], payload_bytes)


@given(GROUPS)
def test_what_is_encoded_is_decoded(groups):
    message, sent = written(Release("id"), groups)
    header, layouts = read(message)
    assert header == Release("id")
    assert [one.tensors for one in layouts.values()] == [one.tensors for one in sent]
    for name, group in groups.items():
        end = 0
        for tensor, placed in zip(group, layouts[name].tensors, strict=True):
            assert (DTYPES[placed.spec.dtype], placed.spec.shape) == (tensor.dtype, tensor.shape)
            assert placed.offset == end + -end % ALIGNMENT
            end = placed.offset + tensor.nbytes
        assert layouts[name].size_bytes == end


@given(st.binary(min_size=PREFIX.size, max_size=PREFIX.size))
def test_other_bytes_are_no_message(data):
    with pytest.raises(TransportError, match="no message of this artifact"):
        read_prefix(data)


@given(st.binary(max_size=60))
def test_a_header_of_other_bytes_is_refused(data):
    with pytest.raises(TransportError):
        decode(REQUESTS, data, 1)


@given(st.data())
def test_a_damaged_header_is_refused_or_another_valid_one(data):
    message = bytearray(written(Release("id"), THREE_TOKENS)[0])
    position = data.draw(st.integers(PREFIX.size, len(message) - 1))
    message[position] = data.draw(st.integers(0, 255))
    try:
        _header, layouts = decode(REQUESTS, bytes(message[PREFIX.size :]), 24)
    except TransportError:
        return
    # Whatever it says now, it describes the bytes that were announced and no others.
    assert sum(layout.size_bytes for layout in layouts.values()) == 24


def test_a_reply_is_no_request():
    message, _layouts = written(Done(0, 0, 0, 0, 0.0, 0.0), {})
    assert read(message, REPLIES)[0] == Done(0, 0, 0, 0, 0.0, 0.0)
    with pytest.raises(TransportError, match="cannot be understood"):
        read(message, REQUESTS)


def test_an_announced_size_must_be_the_described_one():
    encoded, _layouts = encode(ReadMeters(), THREE_TOKENS)
    with pytest.raises(TransportError, match="announces 23 bytes but describes tensors of 24"):
        decode(REQUESTS, encoded, 23)


def test_an_unknown_dtype_or_class_is_refused():
    with pytest.raises(TransportError, match="complex64"):
        encode(ReadMeters(), {TensorClass.TOKENS: [torch.zeros(1, dtype=torch.complex64)]})
    for groups in ({"tokens": [["complex64", [1]]]}, {"gradients": [["float32", [2]]]}):
        with pytest.raises(TransportError, match="cannot be understood"):
            decode(REQUESTS, msgspec.msgpack.encode((ReadMeters(), groups)), 8)


def test_a_header_of_absurd_size_is_refused_before_it_is_received():
    with pytest.raises(TransportError, match="no message of this artifact"):
        read_prefix(PREFIX.pack(b"sgp2", 1 << 31, 0, 0))
