"""What a job recorded of one repeat of somebody else's system."""

import msgspec

from semgap.measurement.run_record import RunRecord


class SystemRun(msgspec.Struct, frozen=True):
    """A measured repeat, or why there is none: a system that fails takes nothing else with it."""

    system_id: str
    repeat: int
    record: RunRecord | None
    failure: str | None = None
