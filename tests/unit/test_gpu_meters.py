"""What GPU meters print and count, from text and numbers alone; no GPU is needed."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sample_runs import phase, run
from sample_table import LABELS, measured, numbers_of
from semgap.analysis.numbers.summary import repeat_rows
from semgap.analysis.numbers.traffic import TrafficRow
from semgap.analysis.reports.notes import notes
from semgap.meters import Host, Span, load_meter, meters_of
from semgap.meters.gpu_dmon import GpuDmon, dmon_rows
from semgap.plumbing.registry import names_in

SECOND_NS = 1_000_000_000
DRIVER_580 = """\
# gpu     sm    mem    enc    dec    jpg    ofa     fb   bar1   ccpm
# Idx      %      %      %      %      %      %     MB     MB     MB
    0     37     21      0      0      -      -  13022      3      0
    0     39     22      0      0      -      -  13022      3      0
"""


def test_columns_are_found_by_the_header_of_the_driver():
    first, second = dmon_rows(DRIVER_580.splitlines())
    assert (first["sm", "%"], first["mem", "%"], first["fb", "MB"]) == (37, 21, 13022)
    assert second["sm", "%"] == 39
    assert ("jpg", "%") not in first


@given(
    st.dictionaries(
        st.sampled_from(["sm", "mem", "enc", "dec", "fb", "bar1"]),
        st.tuples(st.sampled_from(["%", "MB"]), st.integers(0, 10**6) | st.just("-")),
        min_size=1,
    ),
    st.integers(1, 3),
)
def test_any_order_of_columns_is_read(columns, repetitions):
    """The header is printed again after some lines."""
    lines = [
        "# gpu " + " ".join(columns),
        "# Idx " + " ".join(unit for unit, _value in columns.values()),
        "0 " + " ".join(str(value) for _unit, value in columns.values()),
    ]
    expected = {
        (name, unit): float(value) for name, (unit, value) in columns.items() if value != "-"
    }
    rows = list(dmon_rows(lines * repetitions))
    assert [{**row, ("gpu", "Idx"): None} for row in rows] == [
        {**expected, ("gpu", "Idx"): None}
    ] * repetitions


def test_a_line_of_another_form_is_no_row():
    assert list(dmon_rows(["Failed to initialize NVML", "# gpu sm", "# Idx %", "0"])) == []


def test_only_lines_that_speak_of_the_window_count():
    meter = GpuDmon("GPU-0")
    header, units, *_ = DRIVER_580.splitlines()
    percents = [(0.5, 10), (1.5, 90), (2.5, 80), (3.5, 5)]
    meter._lines = [
        (0, header),
        (1, units),
        *(
            (int(at_s * SECOND_NS), f"0 {percent} 20 0 0 - - 13022 3 0")
            for at_s, percent in percents
        ),
    ]
    assert meter.read(int(0.4 * SECOND_NS), 3 * SECOND_NS) == {
        "gpu_dmon_percent": 85,
        "gpu_dmon_memory_percent": 20,
        "gpu_dmon_memory_mb": 13022,
    }


@pytest.mark.parametrize("name", names_in("meters"))
def test_each_meter_can_be_made_on_any_machine(name):
    meter = load_meter(name)("GPU-0")
    assert meter.gpu_uuid == "GPU-0"
    assert (meter.host is Host.WORKER) == meter.needs_gpu == name.startswith("gpu_")


def test_what_disturbs_is_not_read_while_latency_is_measured():
    """A sampling thread, another process and the profiler stay out of the timed phases."""
    assert meters_of(Host.WORKER, Span.PHASE, has_gpu=True) == ("gpu_state",)
    assert meters_of(Host.WORKER, Span.PASS, has_gpu=True) == ("gpu_kernels",)
    back_to_back = meters_of(Host.WORKER, Span.BACK_TO_BACK, has_gpu=True)
    assert back_to_back == ("gpu_dmon", "gpu_energy", "gpu_memory_read", "gpu_samples")
    for host in Host:
        assert not meters_of(host, Span.BACK_TO_BACK, has_gpu=False)


def test_the_notes_explain_each_difference_above_ten_points():
    """Prefill: 30 % where kernels took 20; decode: 45 % where they took 20."""
    runs = []
    for record, traffic, _ in (measured(mode, 1, 1.0) for mode in LABELS):
        phases = tuple(
            msgspec.structs.replace(
                one,
                readings=one.readings
                | {
                    "gpu_kernels": {"gpu_kernel_busy_s": 0.2},
                    "gpu_samples": {"gpu_nvml_percent": 45.0 if one.name == "decode" else 30.0},
                    "back_to_back": {"back_to_back_runs": 6, "back_to_back_latency_s": 0.5},
                },
            )
            for one in record.phases
        )
        machine = msgspec.structs.replace(record.machine, gpu="a GPU")
        runs.append((msgspec.structs.replace(record, phases=phases, machine=machine), traffic, ()))
    how = notes(numbers_of(runs))["How it was measured"]
    (said,) = (note for note in how if note.startswith("nvml"))
    assert "reads +10 to +25 percentage points" in said
    assert said.count("45 % where kernels took 20 % (timed 1.000 s, back to back 0.5000 s)") == 4
    assert "prefill:" not in said


def test_energy_and_differences_follow_from_the_readings():
    """100 W for 0.5 s a run, two tokens; kernels take 0.2 of 1 s."""
    readings = {
        "gpu_kernels": {"gpu_kernel_busy_s": 0.2},
        "gpu_samples": {"gpu_nvml_percent": 45.0},
        "gpu_energy": {"gpu_power_w": 100.0},
        "back_to_back": {"back_to_back_runs": 6, "back_to_back_latency_s": 0.5},
    }
    decode = phase("decode", 16, steps=2)
    decode = msgspec.structs.replace(decode, readings=decode.readings | readings)
    traffic = [TrafficRow("decode", way, "tcpdump", 0, 0, 0, 0) for way in ("up", "down")]
    rows = repeat_rows([(run(phases=(decode,)), traffic, ())])
    values = {row.quantity: row.value for row in rows}
    assert values["gpu_energy_j"] == 50
    assert values["gpu_energy_per_token_j"] == 25
    assert values["gpu_nvml_above_kernel_points"] == pytest.approx(25)
    assert "gpu_dmon_above_kernel_points" not in values
