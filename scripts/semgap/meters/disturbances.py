"""What may have disturbed a job, told from the states of the machine before and after it."""

from __future__ import annotations

from collections.abc import Iterator

from semgap.meters.gpu_state import GpuState
from semgap.meters.machine import MachineState

# An NTP client slews the clock by at most 500 ppm (RFC 5905); that is no step. The 5 ms are for
# the reading of the two clocks, and a quarter of the quiet margin by which time stamps tell phases
# apart.
_CLOCK_STEP_S = 0.005
_CLOCK_SLEW = 500e-6
# On a machine of two cores, less than half of one: one process that computes is above it. With more
# cores it takes more of them to be in the way.
_FOREIGN_SHARE = 0.20
# Every virtual machine waits a little; from here on, the wait is as large as differences of note.
_STEAL_SHARE = 0.05
# A clock is reported as an average over some milliseconds and may fall short by rounding.
_CLOCK_SHORTFALL = 0.95
_POWER = "power limit"
_HEAT = "temperature"
# NVML's clock event reasons (nvml.h) that hold a clock down against the load's will. Not among
# them: an idle GPU, clocks that the user has set, and displays.
_GPU_LIMITS = {
    0x004: _POWER,
    0x008: "hardware slowdown",
    0x010: "synchronised boost",
    0x020: _HEAT,
    0x040: "temperature (hardware)",
    0x080: "external power brake",
    0x200: "board limit",
    0x400: "reliability",
}
# Less than it is at most 2 % of a phase that takes a second.
_GPU_LIMITED_S = 0.02


def wall_clock_step_s(before: MachineState, after: MachineState) -> float:
    """By how much somebody set the wall clock forward between two states of one boot, in seconds.

    A machine that was suspended looks the same: the monotonic clock stands still meanwhile.
    """
    unix_ns = after.unix_ns - before.unix_ns
    return (unix_ns - (after.monotonic_ns - before.monotonic_ns)) / 1e9


def warnings_between(
    before: MachineState,
    after: MachineState,
    own_cpu_s: float,
    load_before: float | None = None,
) -> tuple[str, ...]:
    """What may have disturbed a job that ran between two states, a sentence for each.

    Args:
        own_cpu_s: processor time of all processes of the job between the two.
        load_before: share of the machine's processors that were in use before the job began;
            None where nobody looked.
    """
    if before.boot_id != after.boot_id:
        return ("The machine was started anew, or another machine answered.",)
    return (
        *_clock_warnings(before, after),
        *_load_warnings(before, after, own_cpu_s, load_before),
        *_throttling_warnings(before, after),
        *_gpu_warnings(before.gpu, after.gpu),
    )


def _clock_warnings(before: MachineState, after: MachineState) -> Iterator[str]:
    step_s = wall_clock_step_s(before, after)
    interval_s = (after.monotonic_ns - before.monotonic_ns) / 1e9
    if abs(step_s) > _CLOCK_STEP_S + _CLOCK_SLEW * interval_s:
        yield f"The wall clock was stepped by {step_s * 1e3:+.0f} ms."


def _load_warnings(
    before: MachineState, after: MachineState, own_cpu_s: float, load_before: float | None
) -> Iterator[str]:
    if load_before is not None and load_before > _FOREIGN_SHARE:
        yield (
            f"Before the job, other processes used {load_before:.0%} of the machine's processor "
            "time."
        )
    passed = after.times.since(before.times)
    total_s = passed.total_s()
    if total_s <= 0:
        return
    foreign = (passed.busy_s - own_cpu_s) / total_s
    if foreign > _FOREIGN_SHARE:
        yield f"Other processes used {foreign:.0%} of the machine's processor time."
    steal = passed.steal_s / total_s
    if steal > _STEAL_SHARE:
        yield f"The hypervisor took {steal:.0%} of the machine's processor time."


def _throttling_warnings(before: MachineState, after: MachineState) -> Iterator[str]:
    if before.throttling is not None and after.throttling is not None:
        times = after.throttling.times - before.throttling.times
        throttled_s = after.throttling.throttled_s - before.throttling.throttled_s
        if times > 0:
            yield (
                f"The control group's quota held processes up {times} times, "
                f"{throttled_s * 1e3:.0f} ms in all."
            )
    clock = after.core_clock
    if (
        clock is not None
        and clock.base_mhz is not None
        and clock.current_mhz < _CLOCK_SHORTFALL * clock.base_mhz
    ):
        yield (
            f"Processor {clock.core} ran at {clock.current_mhz:.0f} MHz, below its base clock of "
            f"{clock.base_mhz:.0f} MHz."
        )
    if before.thermal_throttles is not None and after.thermal_throttles is not None:
        times = after.thermal_throttles - before.thermal_throttles
        if times > 0:
            yield f"Processors were clocked down for heat (count of events rose by {times})."


def _gpu_warnings(before: GpuState | None, after: GpuState | None) -> Iterator[str]:
    if before is None or after is None:
        return
    limits = (before.clock_limits or 0) | (after.clock_limits or 0)
    reasons = {reason: "" for bit, reason in _GPU_LIMITS.items() if limits & bit}
    for reason, begin_s, end_s in (
        (_POWER, before.power_limited_s, after.power_limited_s),
        (_HEAT, before.heat_limited_s, after.heat_limited_s),
    ):
        if begin_s is not None and end_s is not None and end_s - begin_s > _GPU_LIMITED_S:
            reasons[reason] = f" for {(end_s - begin_s) * 1e3:.0f} ms"
    if reasons:
        listed = ", ".join(reason + duration for reason, duration in reasons.items())
        yield f"The GPU's clocks were held down: {listed}."
    foreign = max(before.foreign_processes, after.foreign_processes)
    if foreign:
        yield f"Other processes had a context on the GPU: {foreign}."
