"""Payload that crossed the client's TCP connections, as the kernel counts it."""

from semgap.meters import Meter, Readings
from semgap.plumbing.tcp_sockets import kernel_counts_bytes, own_tcp_counters, payload_between


class ClientSockets(Meter):
    """All connections with other processes; one that is made meanwhile counts from its begin."""

    def __enter__(self) -> None:
        self._before = own_tcp_counters()

    def __exit__(self, *_exception: object) -> None:
        self._after = own_tcp_counters()

    def read(self, begin_ns: int, end_ns: int) -> Readings:
        if not kernel_counts_bytes():
            return {}
        totals = payload_between(self._before, self._after)
        return {
            "socket_up_bytes": totals.acked_bytes,
            "socket_down_bytes": totals.received_bytes,
            "socket_up_segments": totals.sent_segments,
            "socket_down_segments": totals.received_segments,
            "socket_retransmitted_bytes": totals.retransmitted_bytes,
        }


METER = ClientSockets
