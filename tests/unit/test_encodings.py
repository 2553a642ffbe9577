"""Encodings: what goes in comes out, both ends stay the same, and only what is new crosses."""

import itertools

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from replayed_encoding import Replay
from semgap.encodings import CPU, encoded_channel, encoded_handler
from semgap.encodings.content_addressed import ContentAddressed
from semgap.encodings.fp8 import Fp8
from semgap.encodings.zstd import Zstd
from semgap.errors import TransportError
from semgap.modes import POLICIES
from semgap.policy import TensorClass
from semgap.protocol import Done, Failed, Fetch, Ping
from semgap.session.in_process import InProcessChannel
from semgap.transport import ReplyMessage, RequestMessage

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool]


@st.composite
def tensors(draw):
    """Few values and shapes, so that the same content comes again under another one."""
    dtype, size = draw(st.sampled_from(DTYPES)), draw(st.integers(0, 700))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2)))
    numbers = torch.randint(0, 100, (size,), generator=generator).to(dtype)
    return numbers.reshape(draw(st.sampled_from([(size,), (1, size), (size, 1)])))


MESSAGES = st.lists(st.lists(tensors(), max_size=4), max_size=8)


def passed(sender, receiver, message):
    crossed = sender.encode(message)
    sender.end_message()
    came = receiver.decode(crossed, CPU)
    receiver.end_message()
    return crossed, came


def assert_same(came, sent):
    assert len(came) == len(sent)
    for one, other in zip(came, sent, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "ends", [(Zstd, Zstd), (ContentAddressed, ContentAddressed)], ids=["zstd", "content_addressed"]
)
@given(messages=MESSAGES)
def test_what_comes_is_what_was_sent_in_both_directions(ends, messages):
    client, worker = (kind() for kind in ends)
    for message, (sender, receiver) in zip(
        messages, itertools.cycle([(client, worker), (worker, client)])
    ):
        crossed, came = passed(sender, receiver, message)
        assert all(one.dtype is torch.uint8 and one.dim() == 1 for one in crossed)
        assert_same(came, message)
        assert client.held_bytes == worker.held_bytes


@given(messages=MESSAGES, bound_bytes=st.integers(0, 4000))
def test_a_bounded_store_forgets_the_same_on_both_sides(messages, bound_bytes):
    client, worker = ContentAddressed(bound_bytes), ContentAddressed(bound_bytes)
    for message, ends in zip(messages, itertools.cycle([(client, worker), (worker, client)])):
        _crossed, came = passed(*ends, message)
        assert_same(came, message)
        assert client._kept.keys() == worker._kept.keys()
        assert client._chunks == worker._chunks
        assert {place[0] for place in client._chunks.values()} <= client._kept.keys()
        assert client.held_bytes == sum(map(len, (one.content for one in client._kept.values())))
        assert client.held_bytes <= bound_bytes


@given(messages=MESSAGES)
def test_what_crosses_is_what_a_replay_says(messages):
    sender, replay = ContentAddressed(), Replay()
    for message in messages:
        listed, *content = sender.encode(message)
        assert (listed.nbytes, sum(one.nbytes for one in content)) == replay.crossed_bytes(
            [message]
        )


def test_what_is_used_least_recently_goes_first():
    client, worker = ContentAddressed(2400), ContentAddressed(2400)
    first, second, third = (torch.full((1000,), value, dtype=torch.uint8) for value in (1, 2, 3))
    for one in (first, second, first, third):
        passed(client, worker, [one])
    assert len(passed(client, worker, [first])[0]) == 1
    assert len(passed(client, worker, [second])[0]) == 2


def grown(heads, row, positions):
    """Keys of so many positions: their first ones are always the same."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn((1, heads, 200, row), generator=generator)[:, :, :positions].contiguous()


@pytest.mark.parametrize(
    ("heads", "row", "dtype"),
    [(16, 256, torch.float16), (8, 64, torch.float32), (3, 64, torch.float32)],
    ids=["GPT-J 6B", "GPT-J mini", "SmolLM2"],
)
def test_a_growing_cache_moves_at_most_twice_what_deltas_move(heads, row, dtype):
    """In deltas each new position crosses up and down; here it is known when it goes up again."""
    client, worker = ContentAddressed(), ContentAddressed()
    moved = 0
    for positions in range(128, 134):
        cache = [grown(heads, row, positions).to(dtype)]
        (up, *sent), _ = passed(client, worker, cache)
        after = [grown(heads, row, positions + 1).to(dtype)]
        (_listed, *content), _ = passed(worker, client, after)
        if positions > 128:
            assert not sent
            assert up.nbytes < 60
        moved += sum(one.nbytes for one in content)
    deltas = 6 * 2 * heads * row * dtype.itemsize
    assert 0.5 * deltas < moved <= 2 * deltas


@pytest.mark.parametrize(
    ("background", "content", "with_lists"), [("noise", 1.1, 1.05), ("zeros", 1.6, 1.1)]
)
def test_a_cache_of_fixed_memory_moves_about_what_deltas_move(background, content, with_lists):
    """A row is written into memory of the whole length. Zeros have no content that says where to
    cut, so that a longest chunk of them is new with each row.
    """
    client, worker = ContentAddressed(), ContentAddressed()
    full, moved, lists = grown(16, 256, 134).half(), 0, 0
    noise = torch.randn((1, 16, 200, 256), generator=torch.Generator().manual_seed(1)).half()
    memory = noise if background == "noise" else torch.zeros_like(noise)
    memory[:, :, :128] = full[:, :, :128]
    passed(client, worker, [memory])
    for position in range(128, 134):
        memory[:, :, position] = full[:, :, position]
        (down, *came), _ = passed(worker, client, [memory])
        moved += sum(one.nbytes for one in came)
        (up, *sent), _ = passed(client, worker, [memory])
        assert not sent
        lists += down.nbytes + up.nbytes
    deltas = 6 * 2 * full[:, :, 0].nbytes
    assert deltas <= moved <= content * deltas
    assert moved + lists <= with_lists * (deltas + lists)


def test_large_tensors_are_cut_coarsely():
    large = torch.arange(1 << 22)
    listed, content = ContentAddressed().encode([large])
    assert content.nbytes == large.nbytes == 1 << 25
    assert listed.nbytes < 10_000


def test_eight_bits_lose_at_most_a_sixteenth():
    numbers = torch.randn((1, 4, 50, 16), generator=torch.Generator().manual_seed(0))
    sent = [numbers, numbers.half() * 1e-3, torch.zeros(3)]
    (_listed, content), came = passed(Fp8(), Fp8(), sent)
    assert content.nbytes == sum(one.numel() for one in sent)
    for one, other in zip(came, sent, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        near = other.abs().max() / 448 / 128
        assert ((one - other).abs() <= other.abs() / 16 + near).all()
    assert not torch.equal(came[0], numbers)


class Keeping:
    """A worker that keeps what came, and sends it back twice."""

    device = CPU

    def handle(self, message):
        self.came = message.tensors
        done = Done(message.received_ns, message.delivered_ns, 0, 0, 0.0, 0.0)
        twice = {
            name: [tensor.clone() for tensor in group] * 2
            for name, group in message.tensors.items()
        }
        return ReplyMessage(done, twice)

    def discard(self):
        for group in self.came.values():
            for tensor in group:
                tensor.fill_(0)


@pytest.mark.parametrize("name", [one.encoding for one in POLICIES if one.encoding])
def test_a_session_sees_the_tensors_and_the_record_what_crossed(name):
    worker = Keeping()
    between = InProcessChannel(encoded_handler(worker, name))
    channel = encoded_channel(between, name)
    cache = torch.ones((1, 2, 300, 8))
    sent = {TensorClass.TOKENS: [torch.tensor([[1, 2]])], TensorClass.KV_CACHE: [cache]}
    for _ in range(2):
        reply = channel.request(RequestMessage(Fetch("a"), sent))
        assert_same(reply.tensors[TensorClass.KV_CACHE], [cache, cache])
        assert_same(reply.tensors[TensorClass.TOKENS], sent[TensorClass.TOKENS] * 2)
        encoded = reply.encoded
        assert encoded.up_list_bytes <= encoded.up_bytes < cache.nbytes
        assert encoded.encode_s > 0
        assert encoded.decode_s > 0
    # Whoever uses what came may write into it.
    assert torch.equal(cache, torch.ones_like(cache))


def test_a_ping_crosses_as_it_is():
    channel = encoded_channel(InProcessChannel(encoded_handler(Keeping(), "zstd")), "zstd")
    zeros = torch.zeros(1000, dtype=torch.uint8)
    reply = channel.request(RequestMessage(Ping(0), {TensorClass.KV_CACHE: [zeros]}))
    assert (reply.encoded.up_bytes, reply.encoded.up_list_bytes) == (1000, 0)


@pytest.mark.parametrize("what", ["lost", "changed"])
def test_refused_a_session_whose_ends_have_come_apart(what):
    client, worker = ContentAddressed(), ContentAddressed()
    tensor = torch.arange(100)
    listed, content = client.encode([tensor])
    if what == "changed":
        content[3] += 1
    else:
        (listed,) = client.encode([tensor])
        content = torch.zeros(0, dtype=torch.uint8)
    with pytest.raises(TransportError, match="do not have the same content any more"):
        worker.decode([listed, content], CPU)


def test_a_worker_that_cannot_decode_says_so():
    handler = encoded_handler(Keeping(), "content_addressed")
    listed = msgspec.msgpack.encode([("int64", (1,), b"0" * 16, None, ())])
    crossed = {TensorClass.TOKENS: [torch.frombuffer(bytearray(listed), dtype=torch.uint8)]}
    reply = handler.handle(RequestMessage(Fetch("a"), crossed))
    assert isinstance(reply.header, Failed)
    assert reply.header.kind == "TransportError"
