"""Packets of a pcapng file (draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semgap.errors import CaptureError
from semgap.pcap.capture_file import (
    MAXIMUM_CAPTURED_BYTES,
    NO_TIME_NS,
    CaptureWindow,
    Packets,
)
from semgap.pcap.record_chain import (
    End,
    Framing,
    record_chain,
    u32_fields,
)

PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"

_SECTION_HEADER = 0x0A0D0D0A
_INTERFACE_DESCRIPTION = 1
_OBSOLETE_PACKET = 2
_SIMPLE_PACKET = 3
_ENHANCED_PACKET = 6
_BYTE_ORDER_MAGIC = 0x1A2B3C4D

_SHORTEST_BLOCK_BYTES = 12
_SHORTEST_SECTION_HEADER_BYTES = 28
_INTERFACE_OPTIONS_AT = 16
_ENHANCED_DATA_AT = 28
_SIMPLE_DATA_AT = 12
_BLOCK_TRAILER_BYTES = 4
# As Wireshark has it: no block is longer.
_MAXIMUM_BLOCK_BYTES = 16 << 20

_OPTION_TIME_RESOLUTION = 9
_OPTION_FRAME_CHECK_BYTES = 13
_OPTION_TIME_OFFSET = 14
_SECOND_NS = 1_000_000_000
_NS_DIGITS = 9
_INT64_MAX = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class _Clock:
    """How the stamps of an interface count.

    Attributes:
        base, exponent: a tick is ``base ** -exponent`` seconds; the base is 10 or 2.
        offset_s: what to add to each stamp.
    """

    base: int = 10
    exponent: int = 6
    offset_s: int = 0


@dataclass(frozen=True)
class _Interface:
    link: int
    snap_bytes: int
    clock: _Clock


@dataclass(frozen=True)
class _Found:
    """Packets of one kind of block; ``record`` and ``start`` are offsets in the window."""

    record: NDArray[np.int64]
    start: NDArray[np.int64]
    interface: NDArray[np.int64]
    captured: NDArray[np.int64]
    original: NDArray[np.int64]
    time_ns: NDArray[np.int64]


def read_pcapng(window: CaptureWindow) -> Iterator[Packets]:
    """Read the packets of a file that begins with ``PCAPNG_MAGIC``.

    Blocks that describe no packet and no interface are skipped.

    Raises:
        CaptureError: the file is cut off, corrupt, of a version other than 1.0 or 1.2, holds
            Packet Blocks (obsolete since 2004), frame check sequences, or stamps finer than
            10^-18 or 2^-63 seconds.
    """
    while window.holds(1):
        order = _enter_section(window)
        yield from _section(window, order)


def _enter_section(window: CaptureWindow) -> str:
    """Skip a Section Header Block; its section's byte order."""
    if not window.holds(_SHORTEST_SECTION_HEADER_BYTES):
        raise window.cut_off()
    header = window.data[:_SHORTEST_SECTION_HEADER_BYTES].tobytes()
    for order in "<>":
        length, magic, major, minor = struct.unpack_from(f"{order}4xIIHH", header)
        if magic == _BYTE_ORDER_MAGIC:
            break
    else:
        raise window.corrupt(0, "names no byte order")
    if (major, minor) not in ((1, 0), (1, 2)):
        raise CaptureError(
            f"'{window.path}' is a pcapng file of version {major}.{minor}.",
            "Write it with a current tcpdump or Wireshark, in version 1.0.",
        )
    if length % 4 or not _SHORTEST_SECTION_HEADER_BYTES <= length <= _MAXIMUM_BLOCK_BYTES:
        raise window.corrupt(0, f"claims {length} bytes")
    if not window.holds(length):
        raise window.cut_off()
    _check_trailers(window, np.zeros(1, dtype=np.int64), order)
    window.skip(length)
    return order


def _section(window: CaptureWindow, order: str) -> Iterator[Packets]:
    interfaces: list[_Interface] = []
    while True:
        chain = record_chain(window.data, _framing(order, interfaces))
        if chain.reason is End.CORRUPT:
            raise window.corrupt(chain.end, "states an impossible length")
        if chain.starts.size:
            _check_trailers(window, chain.starts, order)
            packets = _packets(window, chain.starts, order, interfaces)
            if packets.start.size:
                yield packets
        window.skip(chain.end)
        if chain.reason is End.SENTINEL:
            return
        if not window.fill():
            break
    if window.data.size:
        raise window.cut_off()


def _framing(order: str, interfaces: list[_Interface]) -> Framing:
    snap_bytes = max((one.snap_bytes for one in interfaces), default=MAXIMUM_CAPTURED_BYTES)
    return Framing(
        order=order,
        header_bytes=8,
        length_at=4,
        shortest=_SHORTEST_BLOCK_BYTES,
        longest=_MAXIMUM_BLOCK_BYTES,
        multiple=4,
        extra_bytes=0,
        usual_longest_bytes=2 * _ENHANCED_DATA_AT + snap_bytes,
        mark_low=_ENHANCED_PACKET,
        mark_high=_ENHANCED_PACKET,
        sentinel=_SECTION_HEADER,
    )


def _check_trailers(window: CaptureWindow, record: NDArray[np.int64], order: str) -> None:
    """Each block repeats its length at its end."""
    fields = u32_fields(window.data, order)
    length = fields[record + 4].astype(np.int64)
    window.check(
        fields[record + length - _BLOCK_TRAILER_BYTES] == length,
        record,
        "does not repeat its length at its end",
    )


def _packets(
    window: CaptureWindow,
    record: NDArray[np.int64],
    order: str,
    interfaces: list[_Interface],
) -> Packets:
    """Packets of whole blocks; appends the interfaces that the blocks describe."""
    fields = u32_fields(window.data, order)
    kind = fields[record]
    window.check(kind != _OBSOLETE_PACKET, record, "is an obsolete Packet Block")
    described_before = len(interfaces)
    described = record[kind == _INTERFACE_DESCRIPTION]
    interfaces.extend(_interface(window, int(block), order) for block in described)
    enhanced = _enhanced(window, record[kind == _ENHANCED_PACKET], order, interfaces)
    simple = _simple(window, record[kind == _SIMPLE_PACKET], order, interfaces)
    found = _in_order(enhanced, simple)
    known: int | NDArray[np.int64] = described_before
    if described.size:
        known = described_before + np.searchsorted(described, found.record)
    window.check(found.interface < known, found.record, "precedes its interface's description")
    window.check(
        found.captured <= found.original,
        found.record,
        "claims more captured bytes than the packet had",
    )
    snap_bytes = np.array([one.snap_bytes for one in interfaces], dtype=np.int64)
    window.check(
        found.captured <= (snap_bytes if snap_bytes.size == 1 else snap_bytes[found.interface]),
        found.record,
        "claims more captured bytes than its interface captures",
    )
    return Packets(
        path=window.path,
        file_offset=window.file_offset,
        data=window.data,
        start=found.start,
        captured=found.captured,
        original=found.original,
        time_ns=found.time_ns,
        links=_links(found.interface, interfaces),
    )


def _links(
    interface: NDArray[np.int64], interfaces: list[_Interface]
) -> list[tuple[int, slice | NDArray[np.int64]]]:
    kinds = {one.link for one in interfaces}
    if len(kinds) == 1:
        return [(kinds.pop(), slice(None))]
    link = np.array([one.link for one in interfaces], dtype=np.int64)[interface]
    chosen = [(kind, np.flatnonzero(link == kind)) for kind in sorted(kinds)]
    return [(kind, packets) for kind, packets in chosen if packets.size]


def _enhanced(
    window: CaptureWindow,
    record: NDArray[np.int64],
    order: str,
    interfaces: list[_Interface],
) -> _Found:
    if record.size == 0:
        return _none_found()
    fields = u32_fields(window.data, order)
    length = fields[record + 4].astype(np.int64)
    window.check(
        length >= _ENHANCED_DATA_AT + _BLOCK_TRAILER_BYTES, record, "is too short for its kind"
    )
    headers = np.ndarray(
        (window.data.size - _ENHANCED_DATA_AT + 1,),
        dtype=f"V{_ENHANCED_DATA_AT}",
        buffer=window.data,
        strides=(1,),
    )[record]
    words = headers.view(f"{order}u4").reshape(-1, _ENHANCED_DATA_AT // 4)
    interface, captured, original = (words[:, i].astype(np.int64) for i in (2, 5, 6))
    window.check(
        captured <= length - _ENHANCED_DATA_AT - _BLOCK_TRAILER_BYTES,
        record,
        "claims more captured bytes than it holds",
    )
    ticks = (words[:, 3].astype(np.uint64) << np.uint64(32)) | words[:, 4]
    return _Found(
        record=record,
        start=record + _ENHANCED_DATA_AT,
        interface=interface,
        captured=captured,
        original=original,
        time_ns=_times_ns(window, record, ticks, interface, interfaces),
    )


def _simple(
    window: CaptureWindow,
    record: NDArray[np.int64],
    order: str,
    interfaces: list[_Interface],
) -> _Found:
    """Simple Packet Blocks: of the first interface, without stamp and captured length."""
    if record.size == 0:
        return _none_found()
    fields = u32_fields(window.data, order)
    length = fields[record + 4].astype(np.int64)
    window.check(
        length >= _SIMPLE_DATA_AT + _BLOCK_TRAILER_BYTES, record, "is too short for its kind"
    )
    original = fields[record + 8].astype(np.int64)
    snap_bytes = interfaces[0].snap_bytes if interfaces else 0
    captured = np.minimum(original, snap_bytes)
    window.check(
        captured <= length - _SIMPLE_DATA_AT - _BLOCK_TRAILER_BYTES,
        record,
        "holds fewer bytes than its interface captures",
    )
    return _Found(
        record=record,
        start=record + _SIMPLE_DATA_AT,
        interface=np.zeros(record.size, dtype=np.int64),
        captured=captured,
        original=original,
        time_ns=np.full(record.size, NO_TIME_NS, dtype=np.int64),
    )


def _none_found() -> _Found:
    none = np.empty(0, dtype=np.int64)
    return _Found(none, none, none, none, none, none)


def _in_order(one: _Found, other: _Found) -> _Found:
    """The packets of both in the order of the file."""
    if other.record.size == 0:
        return one
    if one.record.size == 0:
        return other
    record = np.concatenate([one.record, other.record])
    order = np.argsort(record)
    return _Found(
        record=record[order],
        start=np.concatenate([one.start, other.start])[order],
        interface=np.concatenate([one.interface, other.interface])[order],
        captured=np.concatenate([one.captured, other.captured])[order],
        original=np.concatenate([one.original, other.original])[order],
        time_ns=np.concatenate([one.time_ns, other.time_ns])[order],
    )


def _times_ns(
    window: CaptureWindow,
    record: NDArray[np.int64],
    ticks: NDArray[np.uint64],
    interface: NDArray[np.int64],
    interfaces: list[_Interface],
) -> NDArray[np.int64]:
    clocks = {one.clock for one in interfaces}
    if len(clocks) == 1:
        return _clock_times_ns(window, record, ticks, clocks.pop())
    time_ns = np.zeros(record.size, dtype=np.int64)
    for number in range(len(interfaces)):
        packets = np.flatnonzero(interface == number)
        time_ns[packets] = _clock_times_ns(
            window, record[packets], ticks[packets], interfaces[number].clock
        )
    return time_ns


def _clock_times_ns(
    window: CaptureWindow, record: NDArray[np.int64], ticks: NDArray[np.uint64], clock: _Clock
) -> NDArray[np.int64]:
    """Nanoseconds of ticks, rounded down; exact integer arithmetic throughout."""
    # Plain integers bound what the arrays' arithmetic must hold before it is done.
    latest = int(ticks.max(initial=0))
    latest_ns = latest * _SECOND_NS // clock.base**clock.exponent
    offset_ns = clock.offset_s * _SECOND_NS
    fits = latest_ns <= _INT64_MAX and NO_TIME_NS < offset_ns <= _INT64_MAX - latest_ns
    window.check(np.full(record.size, fits), record, "has a stamp beyond the year 2262")
    if clock.base == 10 and clock.exponent <= _NS_DIGITS:
        time_ns = ticks * np.uint64(10 ** (_NS_DIGITS - clock.exponent))
    elif clock.base == 10:
        time_ns = ticks // np.uint64(10 ** (clock.exponent - _NS_DIGITS))
    else:
        time_ns = _binary_ns(ticks, clock.exponent)
    return time_ns.astype(np.int64) + offset_ns


def _binary_ns(ticks: NDArray[np.uint64], exponent: int) -> NDArray[np.uint64]:
    second_ns = np.uint64(_SECOND_NS)
    seconds = ticks >> np.uint64(exponent)
    fraction = ticks - (seconds << np.uint64(exponent))
    if exponent <= 32:
        return seconds * second_ns + ((fraction * second_ns) >> np.uint64(exponent))
    # The product would exceed 64 bits; by halves it does not, and the carry makes it exact.
    half = np.uint64(32)
    high = (fraction >> half) * second_ns
    low = (fraction & np.uint64(0xFFFF_FFFF)) * second_ns
    return seconds * second_ns + ((high + (low >> half)) >> np.uint64(exponent - 32))


def _interface(window: CaptureWindow, at: int, order: str) -> _Interface:
    """The interface of the Interface Description Block ``at`` an offset of the window."""
    data = window.data
    length = int(u32_fields(data, order)[at + 4])
    if length < _INTERFACE_OPTIONS_AT + _BLOCK_TRAILER_BYTES:
        raise window.corrupt(at, "is too short for its kind")
    block = data[at : at + length - _BLOCK_TRAILER_BYTES].tobytes()
    link, snap_bytes = struct.unpack_from(f"{order}8xH2xI", block)
    options = _options(window, at, block, order)
    if options.get(_OPTION_FRAME_CHECK_BYTES, b"\0") != b"\0":
        raise CaptureError(
            f"'{window.path}' holds frames with their check sequences.",
            "Capture with tcpdump on an interface that strips them.",
        )
    resolution = options.get(_OPTION_TIME_RESOLUTION, b"\6")
    offset = options.get(_OPTION_TIME_OFFSET, bytes(8))
    if len(resolution) != 1 or len(offset) != 8:
        raise window.corrupt(at, "holds an option of the wrong length")
    binary, exponent = resolution[0] >> 7, resolution[0] & 0x7F
    if exponent > (63 if binary else 18):
        raise CaptureError(
            f"'{window.path}' has stamps of {2 if binary else 10}^-{exponent} seconds.",
            "Capture with stamps in nanoseconds.",
        )
    return _Interface(
        link=link,
        snap_bytes=min(snap_bytes or MAXIMUM_CAPTURED_BYTES, MAXIMUM_CAPTURED_BYTES),
        clock=_Clock(
            base=2 if binary else 10,
            exponent=exponent,
            offset_s=struct.unpack(f"{order}q", offset)[0],
        ),
    )


def _options(window: CaptureWindow, at: int, block: bytes, order: str) -> dict[int, bytes]:
    """Values by code; code, length, value padded to four bytes, up to code 0 or the end."""
    options: dict[int, bytes] = {}
    position = _INTERFACE_OPTIONS_AT
    while position < len(block):
        code, length = struct.unpack_from(f"{order}HH", block, position)
        if code == 0:
            break
        value = block[position + 4 : position + 4 + length]
        if len(value) < length:
            raise window.corrupt(at, "holds an option that is longer than the block")
        options[code] = value
        position += 4 + (length + 3) // 4 * 4
    return options
