"""What may disturb a job is seen in the states of the machine before and after it."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from kernel_tree import BARE, SERVER, make_server, make_tree
from semgap.meters.cgroups import Throttling, quota_cores, throttling
from semgap.meters.disturbances import wall_clock_step_s, warnings_between
from semgap.meters.gpu_state import GpuState, foreign_processes, read_gpu_state
from semgap.meters.machine import MachineState, read_machine_state
from semgap.meters.processors import CoreClock, ProcessorTimes, foreign_load, read_core_clock
from small_models import PROJECT

SECOND_NS = 1_000_000_000
INTERVAL_S = 10
FAKETIME = Path(find_spec("libfaketime").origin).parent / "vendor/libfaketime/src/libfaketime.so.1"

GPU = GpuState(
    sm_clock_mhz=1980,
    max_sm_clock_mhz=1980,
    clock_limits=0,
    power_limited_s=3.0,
    heat_limited_s=1.0,
    temperature_c=40,
    power_w=300.0,
    compute_pids=(7,),
    foreign_processes=0,
)
BEFORE = MachineState(
    unix_ns=1_000 * SECOND_NS,
    monotonic_ns=50 * SECOND_NS,
    boot_id="boot",
    times=ProcessorTimes(busy_s=100.0, interrupt_s=5.0, steal_s=1.0, idle_s=500.0),
    load_average=0.1,
    pressure_s=1.0,
    throttling=Throttling(2, 0.5),
    core_clock=CoreClock(0, 3000.0, 3000.0, 3800.0),
    thermal_throttles=4,
    gpu=GPU,
)
AFTER = msgspec.structs.replace(
    BEFORE,
    unix_ns=BEFORE.unix_ns + INTERVAL_S * SECOND_NS,
    monotonic_ns=BEFORE.monotonic_ns + INTERVAL_S * SECOND_NS,
    times=ProcessorTimes(busy_s=120.0, interrupt_s=6.0, steal_s=1.5, idle_s=518.5),
)
OWN_CPU_S = 18.0


def after(**values):
    return msgspec.structs.replace(AFTER, **values)


def after_gpu(**values):
    return after(gpu=msgspec.structs.replace(GPU, **values))


def after_times(**values):
    """Another use of the same processor time: what is added is taken from the idle time."""
    times = msgspec.structs.replace(AFTER.times, **values)
    surplus_s = times.total_s() - AFTER.times.total_s()
    return after(times=msgspec.structs.replace(times, idle_s=times.idle_s - surplus_s))


def test_a_quiet_job_has_no_warnings():
    assert warnings_between(BEFORE, AFTER, OWN_CPU_S, load_before=0.05) == ()
    assert warnings_between(BEFORE, BEFORE, 0.0) == ()


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (after(boot_id="other"), "The machine was started anew, or another machine answered."),
        (
            after(unix_ns=AFTER.unix_ns - 120_000_000),
            "The wall clock was stepped by -120 ms.",
        ),
        (
            after_times(busy_s=130.0),
            "Other processes used 30% of the machine's processor time.",
        ),
        (
            after_times(steal_s=5.0),
            "The hypervisor took 10% of the machine's processor time.",
        ),
        (
            after(throttling=Throttling(5, 0.75)),
            "The control group's quota held processes up 3 times, 250 ms in all.",
        ),
        (
            after(core_clock=CoreClock(3, 2000.0, 3000.0, 3800.0)),
            "Processor 3 ran at 2000 MHz, below its base clock of 3000 MHz.",
        ),
        (
            after(thermal_throttles=6),
            "Processors were clocked down for heat (count of events rose by 2).",
        ),
        (
            after_gpu(clock_limits=0x1 | 0x4 | 0x8),
            "The GPU's clocks were held down: power limit, hardware slowdown.",
        ),
        (
            after_gpu(clock_limits=0x4, power_limited_s=3.5),
            "The GPU's clocks were held down: power limit for 500 ms.",
        ),
        (
            after_gpu(heat_limited_s=1.1),
            "The GPU's clocks were held down: temperature for 100 ms.",
        ),
        (after_gpu(foreign_processes=2), "Other processes had a context on the GPU: 2."),
    ],
)
def test_each_disturbance_is_named_alone(state, sentence):
    assert warnings_between(BEFORE, state, OWN_CPU_S) == (sentence,)


def test_load_before_the_job_is_named():
    (sentence,) = warnings_between(BEFORE, AFTER, OWN_CPU_S, load_before=0.34)
    assert sentence == "Before the job, other processes used 34% of the machine's processor time."


@pytest.mark.parametrize(
    "state",
    [
        after(unix_ns=AFTER.unix_ns + 9_000_000),
        after_times(busy_s=125.0),
        # The packets of a job are handled in interrupts that belong to no process.
        after_times(interrupt_s=20.0),
        after_times(steal_s=2.5),
        after(core_clock=CoreClock(3, 2900.0, 3000.0, 3800.0)),
        after(core_clock=CoreClock(3, 800.0, None, 3800.0)),
        after_gpu(clock_limits=0x1 | 0x2 | 0x100),
        after_gpu(power_limited_s=3.01),
    ],
)
def test_what_every_machine_does_is_no_disturbance(state):
    assert warnings_between(BEFORE, state, OWN_CPU_S) == ()


@pytest.mark.parametrize(
    "nothing",
    [
        {"throttling": None},
        {"core_clock": None},
        {"thermal_throttles": None},
        {"gpu": None},
        {
            "gpu": msgspec.structs.replace(
                GPU, clock_limits=None, power_limited_s=None, heat_limited_s=None
            )
        },
    ],
)
def test_what_a_machine_does_not_show_is_no_disturbance(nothing):
    hidden = msgspec.structs.replace(BEFORE, **nothing)
    assert warnings_between(hidden, AFTER, OWN_CPU_S) == ()
    assert warnings_between(BEFORE, after(**nothing), OWN_CPU_S) == ()


@given(
    interval_us=st.integers(0, 10**10),
    beyond_us=st.integers(2, 1000) | st.integers(-1000, -2),
    sign=st.sampled_from([-1, 1]),
    begin_us=st.integers(0, 2 * 10**15),
)
def test_a_step_is_told_from_slewing(interval_us, beyond_us, sign, begin_us):
    step_us = sign * (5_000 + interval_us // 2_000 + beyond_us)
    begin = msgspec.structs.replace(BEFORE, unix_ns=begin_us * 1000)
    end = after(
        unix_ns=(begin_us + interval_us + step_us) * 1000,
        monotonic_ns=begin.monotonic_ns + interval_us * 1000,
    )
    assert wall_clock_step_s(begin, end) == pytest.approx(step_us / 1e6, abs=1e-9)
    stepped = any("stepped" in text for text in warnings_between(begin, end, OWN_CPU_S))
    assert stepped == (beyond_us > 0)


@given(st.sets(st.integers(1, 50)), st.sets(st.integers(1, 50)))
def test_foreign_processes_are_counted_with_and_without_common_numbers(compute, own):
    assert foreign_processes(compute, own, same_numbers=True) == len(compute - own)
    # All of ours compute, under numbers that are unknown here, beside the others.
    seen = {1000 + pid for pid in own} | compute
    assert foreign_processes(seen, own, same_numbers=False) == len(compute)
    assert foreign_processes((), own, same_numbers=False) == 0


STEPPING = """
import sys, time
from pathlib import Path
import msgspec
from semgap.meters.machine import read_machine_state
before = read_machine_state()
Path(sys.argv[1]).write_text(sys.argv[2])
time.sleep(0.1)
print(msgspec.json.encode([before, read_machine_state()]).decode())
"""


@pytest.mark.parametrize("step_ms", [80, -250, 3_600_000, 0])
def test_a_step_of_the_wall_clock_is_named_with_its_size(tmp_path, step_ms):
    offset = tmp_path / "offset"
    offset.write_text("+0")
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT / "scripts"),
        "LD_PRELOAD": str(FAKETIME),
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_TIMESTAMP_FILE": str(offset),
    }
    command = [sys.executable, "-c", STEPPING, str(offset), f"{step_ms / 1e3:+}"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)
    before, end = msgspec.json.decode(done.stdout, type=tuple[MachineState, MachineState])
    assert wall_clock_step_s(before, end) * 1e3 == pytest.approx(step_ms, abs=2)
    told = [text for text in warnings_between(before, end, 0.0) if "wall clock" in text]
    if step_ms == 0:
        assert told == []
    else:
        (sentence,) = told
        named_ms = int(sentence.removeprefix("The wall clock was stepped by ").split()[0])
        assert named_ms == pytest.approx(step_ms, abs=2)


@contextlib.contextmanager
def burning(processes):
    """Processes that keep their cores busy."""
    script = "print(1, flush=True)\nwhile True: pass"
    with contextlib.ExitStack() as stack:
        started = []
        for _ in range(processes):
            process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
            stack.enter_context(process)
            stack.callback(process.kill)
            started.append(process)
        for process in started:
            process.stdout.readline()
        yield


def test_processes_that_compute_are_noticed_on_this_machine():
    before = read_machine_state()
    with burning(os.cpu_count()):
        time.sleep(1.0)
        state = read_machine_state()
    assert any(
        text.startswith("Other processes used") for text in warnings_between(before, state, 0)
    )
    all_own_s = state.times.since(before.times).busy_s
    told = warnings_between(before, state, all_own_s)
    assert not any(text.startswith("Other processes used") for text in told)


def test_a_busy_window_shows_the_load_of_others():
    with burning(os.cpu_count()):
        assert foreign_load(0.5) > 0.5


def test_the_state_of_this_machine_is_read_in_short_time():
    states, took_s = [], []
    for _ in range(5):
        begin_s = time.perf_counter()
        states.append(read_machine_state())
        took_s.append(time.perf_counter() - begin_s)
    assert min(took_s) < 0.03
    assert states[-1].boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert states[-1].gpu is None
    assert all(
        earlier.monotonic_ns < later.monotonic_ns and earlier.times.busy_s <= later.times.busy_s
        for earlier, later in itertools.pairwise(states)
    )
    assert abs(states[-1].unix_ns - time.time_ns()) < 60 * SECOND_NS
    assert msgspec.json.decode(msgspec.json.encode(states[-1]), type=MachineState) == states[-1]


def test_a_machine_that_shows_all_is_read_completely(tmp_path):
    state = read_machine_state(root=make_server(tmp_path))
    assert msgspec.structs.replace(state, unix_ns=0, monotonic_ns=0) == MachineState(
        unix_ns=0,
        monotonic_ns=0,
        boot_id="boot",
        times=ProcessorTimes(busy_s=14.0, interrupt_s=1.0, steal_s=0.5, idle_s=95.0),
        load_average=1.5,
        pressure_s=2.5,
        throttling=Throttling(4, 0.75),
        core_clock=CoreClock(1, 2900.0, 3000.0, 3800.0),
        thermal_throttles=7,
        gpu=None,
    )


def test_a_bare_machine_is_read_as_far_as_it_goes(tmp_path):
    state = read_machine_state(root=make_tree(tmp_path, BARE))
    shown = {name for name in state.__struct_fields__ if getattr(state, name) is not None}
    assert shown == {"unix_ns", "monotonic_ns", "boot_id", "times"}
    assert foreign_load(0.0, tmp_path) is None


def test_a_base_clock_is_found_in_the_firmware_description_too(tmp_path):
    cpu = "sys/devices/system/cpu/cpu1"
    files = {
        **BARE,
        f"{cpu}/cpufreq/scaling_cur_freq": "2000000\n",
        f"{cpu}/acpi_cppc/nominal_freq": "2450\n",
    }
    assert read_core_clock(make_tree(tmp_path, files)) == CoreClock(1, 2000.0, 2450.0, None)


V1_MOUNT = "31 20 0:28 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
V1_FOLDER = "sys/fs/cgroup/cpu,cpuacct"
V1_LIMIT = {
    "cpu.stat": "nr_periods 9\nnr_throttled 2\nthrottled_time 1500000000\n",
    "cpu.cfs_quota_us": "50000\n",
    "cpu.cfs_period_us": "100000\n",
}


@pytest.mark.parametrize(
    ("group", "mount_root", "folder"),
    [
        ("/job", "/", f"{V1_FOLDER}/job"),
        # A container without a namespace of control groups sees the host's path, and mounts it.
        ("/docker/abc", "/docker/abc", V1_FOLDER),
        # One with a namespace that it was moved out of sees a path that leads nowhere.
        ("/../other", "/", V1_FOLDER),
    ],
)
def test_control_groups_of_version_1_are_found(tmp_path, group, mount_root, folder):
    files = {
        "proc/self/cgroup": f"4:memory:/elsewhere\n3:cpu,cpuacct:{group}\n0::/\n",
        "proc/self/mountinfo": (
            "29 20 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
            + V1_MOUNT.format(root=mount_root)
        ),
        **{f"{folder}/{name}": text for name, text in V1_LIMIT.items()},
    }
    make_tree(tmp_path, files)
    assert throttling(tmp_path) == Throttling(2, 1.5)
    assert quota_cores(tmp_path) == 0.5


def test_the_tightest_quota_around_a_process_holds(tmp_path):
    name = "sys/fs/cgroup/job.slice/run.scope/cpu.max"
    assert quota_cores(make_server(tmp_path)) == 1.5
    make_tree(tmp_path, {name: "40000 100000\n"})
    assert quota_cores(tmp_path) == 0.4


def test_no_quota_is_none(tmp_path):
    unlimited = {name: text for name, text in SERVER.items() if not name.endswith("cpu.max")}
    assert quota_cores(make_tree(tmp_path, unlimited)) is None


class Nvml:
    """The few functions of NVML that are asked, on a device that lacks some."""

    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0
    NVML_PERF_POLICY_POWER, NVML_PERF_POLICY_THERMAL = 0, 1

    class NVMLError(Exception):
        """What NVML raises for a question that the device does not support."""

    def __init__(self):
        self.opened = 0

    def nvmlInit(self):  # noqa: N802 - NVML's names
        self.opened += 1

    def nvmlShutdown(self):  # noqa: N802
        self.opened -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802
        return uuid

    def nvmlDeviceGetComputeRunningProcesses(self, _gpu):  # noqa: N802
        return [SimpleNamespace(pid=2_000_000_001), SimpleNamespace(pid=2_000_000_000)]

    def nvmlDeviceGetClockInfo(self, _gpu, _clock):  # noqa: N802
        return 345

    def nvmlDeviceGetViolationStatus(self, _gpu, policy):  # noqa: N802
        if policy == self.NVML_PERF_POLICY_THERMAL:
            raise self.NVMLError
        return SimpleNamespace(violationTime=1_500_000_000)

    def nvmlDeviceGetPowerUsage(self, _gpu):  # noqa: N802
        return 77_210

    def __getattr__(self, name):
        def unsupported(*_arguments):
            raise self.NVMLError(name)

        return unsupported


def test_a_gpu_is_read_in_the_units_of_the_record(monkeypatch):
    nvml = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert read_gpu_state("GPU-1", own_pids=[]) == GpuState(
        sm_clock_mhz=345,
        max_sm_clock_mhz=None,
        clock_limits=None,
        power_limited_s=1.5,
        heat_limited_s=None,
        temperature_c=None,
        power_w=77.21,
        compute_pids=(2_000_000_000, 2_000_000_001),
        foreign_processes=2,
    )
    assert nvml.opened == 0
