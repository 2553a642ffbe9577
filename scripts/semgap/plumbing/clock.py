"""Which monotonic clock a process reads."""

from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIME_NAMESPACE = Path("/proc/self/ns/time")


def monotonic_clock_id() -> str:
    """Equal in two processes whose time stamps of the monotonic clock can be compared.

    That is so within one boot of one machine, but for time namespaces, which shift the clock.
    """
    # Kernels before 5.6 have no time namespaces, and sandboxes may hide both.
    namespace = _TIME_NAMESPACE.readlink() if _TIME_NAMESPACE.exists() else ""
    boot_id = _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else ""
    return f"{boot_id} {namespace}"
