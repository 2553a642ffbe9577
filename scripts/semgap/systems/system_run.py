"""What a job recorded of one repeat of somebody else's system."""

import msgspec

from semgap.measurement.run_record import RunRecord


class SystemRun(msgspec.Struct, frozen=True):
    """A measured repeat, or why there is none: a system that fails takes nothing else with it."""

    system_id: str
    label: str
    repeat: int
    baseline: str  # another system, or the mode local: what this one's latency is divided by
    record: RunRecord | None
    failure: str | None = None
