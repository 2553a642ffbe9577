"""Warnings under the table: for a busy machine, scattered repeats, a cold start, a shared GPU."""

import msgspec
import pytest

from sample_runs import PROVENANCE, SECOND_NS, phase, run, step
from sample_table import measured
from semgap.analysis.numbers.summary import repeat_rows, summarise
from semgap.analysis.reports.warnings import cores_of_others, first_step_ratio, warnings
from semgap.plumbing.provenance import GpuProvenance


def latency(std):
    (found,) = (
        row
        for row in summarise(repeat_rows([measured("naive", 1, 2.0)]))
        if (row.phase, row.quantity) == ("decode", "latency_s")
    )
    return msgspec.structs.replace(found, n=3, std=std)


def with_machine_busy(record, cores):
    """The run on a machine that was busy with so many cores, in each phase."""
    phases = tuple(
        msgspec.structs.replace(
            one,
            readings=one.readings
            | {
                "machine_cpu": {
                    "machine_cpu_s": cores * one.latency_s,
                    "machine_window_s": one.latency_s,
                }
            },
        )
        for one in record.phases
    )
    return msgspec.structs.replace(record, phases=phases)


def test_a_quiet_machine_warns_of_nothing():
    assert warnings([latency(0.1), latency(None)], [run("local"), run("naive")]) == []


def test_what_others_used_is_the_machine_without_client_and_worker():
    """Client and worker use 0.5 and 0.75 of a core; in process the client is all there is."""
    for mode, own in (("naive", 1.25), ("local", 0.5)):
        record = with_machine_busy(run(mode), 2.0)
        assert cores_of_others(record) == pytest.approx(2.0 - own)


def test_warned_of_a_busy_machine():
    (said,) = warnings([], [run("local"), with_machine_busy(run("naive", 2), 2.0)])
    assert "of 2 cores" in said
    assert "(naive, repeat 2)" in said


def test_warned_of_a_deviation_above_a_tenth():
    (said,) = warnings([latency(0.3)], [run("local")])
    assert said == "the standard deviation of naive's decode is 15 % of its mean"


def test_warned_of_a_first_step_that_is_far_off():
    slow = msgspec.structs.replace(step(), latency_s=1.2)
    record = run("local")
    decode = phase("decode", 16, 2.2, steps=(slow, step(), step()))
    record = msgspec.structs.replace(record, phases=(*record.phases[:-1], decode))
    assert first_step_ratio(decode) == pytest.approx(2.4)
    (said,) = warnings([], [record])
    assert "the first decode step took 2.4 times" in said


def test_warned_of_a_processor_that_changes_its_speed():
    def at(loop_s, mode):
        record = run(mode)
        phases = tuple(
            msgspec.structs.replace(
                one, readings=one.readings | {"processor_speed": {"reference_loop_s": loop_s}}
            )
            for one in record.phases
        )
        return msgspec.structs.replace(record, phases=phases)

    assert warnings([], [at(0.005, "local"), at(0.006, "naive")]) == []
    (said,) = warnings([], [at(0.005, "local"), at(0.007, "naive")])
    assert "5.0 ms (local, repeat 1) to 7.0 ms (naive, repeat 1)" in said


def test_warned_of_runs_of_several_boots():
    def booted(mode, repeat, boot_s):
        record = run(mode, repeat)
        phases = tuple(
            msgspec.structs.replace(one, begin_unix_ns=one.begin_ns + int(boot_s * SECOND_NS))
            for one in record.phases
        )
        return msgspec.structs.replace(record, phases=phases)

    assert warnings([], [booted("local", 1, 1000), booted("local", 2, 1000.5)]) == []
    records = [booted("local", 3, 1100), booted("local", 1, 1000), booted("local", 2, 1000)]
    (said,) = warnings([], records)
    assert said.endswith("before local, repeat 3")


def test_warned_of_another_process_on_the_gpu():
    gpu = GpuProvenance("GPU-0", "580", "13.0", False, ("python (12)", "game (34)"))
    provenance = msgspec.structs.replace(PROVENANCE, gpu=gpu)
    record = run("local", provenance=provenance)
    shared = tuple(
        msgspec.structs.replace(one, readings=one.readings | {"gpu_state": {"gpu_processes": 2.0}})
        for one in record.phases
    )
    (said,) = warnings([], [msgspec.structs.replace(record, phases=shared)])
    assert "another process was on the GPU during local, repeat 1" in said
    assert "game (34), python (12)" in said


def test_warned_of_a_partitioned_gpu():
    gpu = GpuProvenance("GPU-0", "580", "13.0", True, ())
    provenance = msgspec.structs.replace(PROVENANCE, gpu=gpu)
    (said,) = warnings([], [run("local", provenance=provenance)])
    assert "MIG" in said
