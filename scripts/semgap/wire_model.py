"""What messages would take on a real Ethernet: a model, since captures of a host show no wire.

Loopback, veth and network cards with segmentation offload pass packets of up to 64 KB, so a
capture's count of packets and of header bytes is not that of the wire.
"""

from __future__ import annotations

from collections.abc import Iterable

USUAL_MTU_BYTES = 1500
JUMBO_MTU_BYTES = 9000

# IPv4 (20), TCP (20) and the time stamp option (12, RFC 7323) in each segment.
_IP_TCP_BYTES = 52
# Preamble and start delimiter (8), Ethernet header (14), frame check sequence (4) and gap between
# frames (12): IEEE 802.3.
_ETHERNET_BYTES = 38


def wire_bytes(message_bytes: Iterable[int], mtu_bytes: int) -> int:
    """Bytes that messages of these TCP payloads take on an Ethernet, all headers and gaps included.

    Each message begins a segment. Acknowledgements without payload are not included.
    """
    per_segment = mtu_bytes - _IP_TCP_BYTES
    return sum(
        size_bytes + -(-size_bytes // per_segment) * (_IP_TCP_BYTES + _ETHERNET_BYTES)
        for size_bytes in message_bytes
    )
