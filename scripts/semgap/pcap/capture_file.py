"""A capture file read through a window, and what its formats have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semgap.errors import CaptureError

# MAXIMUM_SNAPLEN of libpcap: no packet is captured longer.
MAXIMUM_CAPTURED_BYTES = 262_144
# Time of a packet whose record holds none (pcapng's Simple Packet Block).
NO_TIME_NS = int(np.iinfo(np.int64).min)

Selection = slice | NDArray[np.int64]


@dataclass(frozen=True)
class Packets:
    """Packets of a capture as they lie in the window on its file.

    The window is reused: what is needed of ``data`` is to be copied before the next packets are
    read.

    Attributes:
        path: the capture, for messages.
        file_offset: where in the file ``data`` begins.
        data: uint8, the window.
        start: int64, offset of each packet's first byte in ``data``; ``captured`` bytes from
            there lie within ``data``.
        captured: int64, bytes captured of each packet.
        original: int64, bytes of each packet on the link, ``captured`` or more.
        time_ns: int64, nanoseconds since 1970 UTC, or NO_TIME_NS.
        links: each link type that occurs (https://www.tcpdump.org/linktypes.html) and its packets.
    """

    path: Path
    file_offset: int
    data: NDArray[np.uint8]
    start: NDArray[np.int64]
    captured: NDArray[np.int64]
    original: NDArray[np.int64]
    time_ns: NDArray[np.int64]
    links: Sequence[tuple[int, Selection]]

    def check(self, sound: NDArray[np.bool_], packet: Selection, what: str, remedy: str) -> None:
        """Raise CaptureError for the first of the packets ``packet`` that is not ``sound``.

        ``what`` completes the sentence 'the packet at byte ... of the capture'.
        """
        if not sound.all():
            first = self.start[packet][int(np.argmin(sound))]
            raise CaptureError(
                f"In '{self.path}', the packet at byte {self.file_offset + int(first)} {what}.",
                remedy,
            )


class CaptureWindow:
    """The part of a capture file that is in memory; it moves forward only."""

    def __init__(self, file: FileIO, path: Path, chunk_bytes: int) -> None:
        self.path = path
        self._file = file
        self._buffer = np.empty(chunk_bytes, dtype=np.uint8)
        self._begin = 0
        self._end = 0
        self._buffer_offset = 0

    @property
    def data(self) -> NDArray[np.uint8]:
        """uint8, what is in memory; a view that ``fill`` invalidates."""
        return self._buffer[self._begin : self._end]

    @property
    def file_offset(self) -> int:
        """Where in the file ``data`` begins."""
        return self._buffer_offset + self._begin

    def skip(self, size: int) -> None:
        """Be done with the first ``size`` bytes of ``data``."""
        self._begin += size

    def fill(self) -> bool:
        """Read on until the buffer is full; False at the end of the file."""
        kept = self._end - self._begin
        target = self._buffer
        if kept > target.size // 2:
            target = np.empty(2 * target.size, dtype=np.uint8)
        target[:kept] = self.data
        self._buffer_offset += self._begin
        self._buffer, self._begin, self._end = target, 0, kept
        space = target.data
        while self._end < target.size:
            read = self._file.readinto(space[self._end :])
            if not read:
                break
            self._end += read
        return self._end > kept

    def holds(self, size: int) -> bool:
        """Whether ``data`` has ``size`` bytes, after reading on where that is needed."""
        while self._end - self._begin < size:
            if not self.fill():
                return False
        return True

    def corrupt(self, at: int, what: str) -> CaptureError:
        """The error for a record ``at`` an offset of ``data``; ``what`` says what it does."""
        return CaptureError(
            f"'{self.path}' is corrupt: its record at byte {self.file_offset + at} {what}.",
            again(self.path),
        )

    def cut_off(self) -> CaptureError:
        """The error for a file that ends within a record."""
        return CaptureError(f"'{self.path}' is cut off: it ends within a record.", again(self.path))

    def check(self, sound: NDArray[np.bool_], record: NDArray[np.int64], what: str) -> None:
        """Raise CaptureError for the first record, by offset in ``data``, that is not sound."""
        if not sound.all():
            raise self.corrupt(int(record[int(np.argmin(sound))]), what)


def again(path: Path) -> str:
    """What to do about a capture that cannot be trusted."""
    return f"Delete '{path}' and run again: only that repeat is measured again."
