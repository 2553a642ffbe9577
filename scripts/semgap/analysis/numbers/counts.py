"""Three counts of the same bytes: arithmetic, the capture, and the kernel's socket counters."""

from collections.abc import Iterable, Sequence

import msgspec

from semgap.analysis.numbers.traffic import TrafficRow
from semgap.measurement.run_record import RunRecord

# What a transport adds is known for each message and tensor but for encoded numbers and names: in
# 142 recorded runs it was up to 1,508 bytes a message off, 4 % of it.
FRAMING_SHARE = 0.1
FRAMING_BYTES_PER_MESSAGE = 1024
# Capture and sockets count the same bytes; a connection's first and last packets have one each.
BETWEEN_COUNTS_BYTES = 1024

PREDICTION = "the prediction"
_CAPTURE = "the capture"
_COUNTERS = "the kernel's socket counters"


class PredictedRow(msgspec.Struct, frozen=True):
    """What must cross in one direction during one phase, in bytes by semantic class."""

    phase: str
    direction: str
    messages: int
    weights_bytes: int
    kv_cache_bytes: int
    tokens_bytes: int
    logits_bytes: int
    framing_bytes: int  # what the transport adds, about
    # what crossed in place of the content, as the client counted it; None without an encoding
    encoded_bytes: int | None

    @property
    def content_bytes(self) -> int:
        """Content of all tensors."""
        return self.weights_bytes + self.kv_cache_bytes + self.tokens_bytes + self.logits_bytes

    @property
    def expected_bytes(self) -> int:
        """TCP payload: the tensors, or what stands for them, and what the transport adds."""
        crossing = self.content_bytes if self.encoded_bytes is None else self.encoded_bytes
        return crossing + self.framing_bytes


class CountRow(PredictedRow, frozen=True):
    """The counts of one direction of one phase of one run; None where one was not taken."""

    mode: str
    repeat: int
    captured_bytes: int | None  # TCP payload, each byte once
    counted_bytes: int | None  # TCP payload, by the sockets of the client
    retransmitted_bytes: int | None  # TCP payload that was sent again, by the capture
    segments: int | None  # TCP segments with payload, by the sockets of the client

    @property
    def framing_tolerance_bytes(self) -> float:
        """How far a count may be from the prediction: its content is exact."""
        # A connection that is open says a few bytes of its own, also without messages.
        messages = max(1, self.messages)
        return FRAMING_SHARE * self.framing_bytes + FRAMING_BYTES_PER_MESSAGE * messages

    @property
    def taken(self) -> dict[str, int]:
        """The counts that there are, by the name of the instrument."""
        counts = {
            PREDICTION: self.expected_bytes,
            _CAPTURE: self.captured_bytes,
            _COUNTERS: self.counted_bytes,
        }
        return {name: size for name, size in counts.items() if size is not None}


def count_rows(
    record: RunRecord, predicted: Sequence[PredictedRow], traffic: Iterable[TrafficRow]
) -> list[CountRow]:
    """Put a run's counts beside each other."""
    captured = {(row.phase, row.direction): row for row in traffic if row.source == "tcpdump"}
    sockets = {phase.name: phase.readings.get("client_sockets", {}) for phase in record.phases}
    rows = []
    for row in predicted:
        seen = captured.get((row.phase, row.direction))
        counted = sockets[row.phase].get(f"socket_{row.direction}_bytes")
        segments = sockets[row.phase].get(f"socket_{row.direction}_segments")
        rows.append(
            CountRow(
                **msgspec.structs.asdict(row),
                mode=record.mode,
                repeat=record.repeat,
                captured_bytes=None if seen is None else seen.payload_bytes,
                counted_bytes=None if counted is None else int(counted),
                retransmitted_bytes=None if seen is None else seen.retransmitted_bytes,
                segments=None if segments is None else int(segments),
            )
        )
    return rows
