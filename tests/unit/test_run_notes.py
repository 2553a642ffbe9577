"""What disturbed a run is said under the table; a clock that is really set is found out."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
import pytest

from consistent_runs import changed, found_in, honest, of_phase
from records import run
from semgap.checks.catalogue import Check
from semgap.checks.evidence import RunEvidence
from semgap.checks.times import clocks, parts_add_up
from semgap.conditions import RunConditions
from semgap.meters.disturbances import warnings_between
from semgap.meters.machine import MachineState
from semgap.meters.processors import ProcessorTimes
from semgap.records import PhaseRecord
from semgap.run_notes import run_notes
from small_models import PROJECT

FAKETIME = Path(find_spec("libfaketime").origin).parent / "vendor/libfaketime/src/libfaketime.so.1"
SECOND_NS = 1_000_000_000
HONEST = honest()
BEFORE = MachineState(
    unix_ns=1_000 * SECOND_NS,
    monotonic_ns=50 * SECOND_NS,
    boot_id="boot",
    times=ProcessorTimes(busy_s=100.0, interrupt_s=5.0, steal_s=1.0, idle_s=500.0),
    load_average=None,
    pressure_s=None,
    throttling=None,
    core_clock=None,
    thermal_throttles=None,
    gpu=None,
)


def later(seconds, wall_ahead_s=0.0):
    """The state after so many idle seconds, in which the wall clock advanced by more."""
    return msgspec.structs.replace(
        BEFORE,
        unix_ns=BEFORE.unix_ns + round((seconds + wall_ahead_s) * 1e9),
        monotonic_ns=BEFORE.monotonic_ns + seconds * SECOND_NS,
        times=ProcessorTimes(busy_s=100.0, interrupt_s=5.0, steal_s=1.0, idle_s=500.0 + seconds),
    )


def notes(evidence=HONEST, **around):
    """The notes on an experiment; ``around`` changes the conditions of semantic's first run."""
    conditions = []
    for each in evidence.runs:
        quiet = RunConditions(each.mode, each.repeat, 0.01, BEFORE, later(10), own_cpu_s=0.0)
        is_changed = each.name == "semantic, repeat 1"
        conditions.append(msgspec.structs.replace(quiet, **around) if is_changed else quiet)
    return run_notes(evidence.runs, conditions)


def test_quiet_runs_have_no_notes():
    assert notes() == []


def test_all_that_disturbed_a_run_is_in_its_line():
    assert notes(after=later(10, wall_ahead_s=0.12), load_before=0.5) == [
        "semantic, repeat 1: The wall clock was stepped by +120 ms. Before the job, other "
        "processes used 50% of the machine's processor time."
    ]


def test_each_disturbed_run_has_its_line_in_the_order_of_the_runs():
    evidence = changed(HONEST, "local", 2, of_phase("prefill", latency_s=0.6))
    first, second = notes(evidence, load_before=0.5)
    assert first.startswith("local, repeat 2: prefill: ")
    assert second.startswith("semantic, repeat 1: Before the job, ")


def test_conditions_of_other_runs_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        run_notes(HONEST.runs, [])


def with_prefill_of(latency_s):
    """An experiment whose prefill of semantic's first run lasts so long around the same step."""
    (step,) = found_in(HONEST, "semantic", 1).record.phases[2].steps
    # A pass of 0.2043 s and 0.322 s around it; 2 ms to choose the token.
    assert step.latency_s + step.choose_s == pytest.approx(0.5283)
    return changed(HONEST, "semantic", 1, of_phase("prefill", latency_s=latency_s))


@pytest.mark.parametrize(
    ("latency_s", "note", "findings"),
    [
        # 10.6 ms of 538.9 ms are 1.97 %, 10.9 ms of 539.2 ms 2.02 %.
        (0.5389, None, 0),
        (
            0.5392,
            "semantic, repeat 1: prefill: 10.9 ms of 539.2 ms are not in the parts (the phase "
            "beyond its steps).",
            0,
        ),
        # 2 % of 0.64 s and 0.1 s are 0.1128 s, which a busy machine can take; 0.1317 s is more.
        (
            0.64,
            "semantic, repeat 1: prefill: 111.7 ms of 640.0 ms are not in the parts (the phase "
            "beyond its steps).",
            0,
        ),
        (
            0.66,
            "semantic, repeat 1: prefill: 131.7 ms of 660.0 ms are not in the parts (the phase "
            "beyond its steps).",
            1,
        ),
    ],
)
def test_parts_that_do_not_add_up_are_noted_before_they_stop_the_table(latency_s, note, findings):
    evidence = with_prefill_of(latency_s)
    assert notes(evidence) == ([note] if note else [])
    assert len(list(parts_add_up(evidence))) == findings


@pytest.mark.parametrize("phase", ["setup", "warmup"])
def test_phases_that_no_table_shows_are_not_noted(phase):
    assert notes(changed(HONEST, "semantic", 1, of_phase(phase, latency_s=5.0))) == []


@pytest.mark.parametrize(("slew", "warned"), [(400e-6, False), (-400e-6, False), (600e-6, True)])
def test_an_hour_of_slewing_is_no_step(slew, warned):
    # 1.44 s at 400 ppm, which an NTP client may do; 2.16 s at 600 ppm, which it may not.
    told = warnings_between(BEFORE, later(3600, wall_ahead_s=3600 * slew), own_cpu_s=0.0)
    assert told == (("The wall clock was stepped by +2160 ms.",) if warned else ())


# One phase as a benchmark job measures it, between two states of the machine. Its only step
# lasts 0.3 s, in the middle of which the wall clock is set.
MEASURED = """
import sys, time
from pathlib import Path
import msgspec
from records import step
from semgap.benchmark import _Phases
from semgap.meters.machine import read_machine_state

class Nothing:
    def worker_cpu_s(self): return 0.0
    def worker_sockets(self): return ()
    def between(self, begin, end): return ()

def steps():
    time.sleep(0.15)
    Path(sys.argv[1]).write_text(sys.argv[2])
    time.sleep(0.15)
    yield step()

nothing = Nothing()
measured = _Phases(nothing, nothing, nothing, lambda what: None)
before = read_machine_state()
measured.run("decode", steps())
print(msgspec.json.encode([before, read_machine_state(), measured.phases[0]]).decode())
"""


def measured_while(tmp_path, clock, set_to):
    """States before and after a phase, and its record; ``clock`` in the words of libfaketime."""
    offset = tmp_path / "offset"
    offset.write_text(clock)
    folders = (PROJECT / "scripts", PROJECT / "tests/unit")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
        "LD_PRELOAD": str(FAKETIME),
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_TIMESTAMP_FILE": str(offset),
    }
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(offset), set_to],
        env=environment,
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=tuple[MachineState, MachineState, PhaseRecord])


def said_of(before, after, phase):
    """The notes on a run that was measured so, and what the check of its clocks finds."""
    record = run("semantic", 1, phases=(phase,), started_unix_ns=before.unix_ns)
    evidence = RunEvidence("semantic", 1, record, np.zeros((0, 0)), ())
    around = RunConditions("semantic", 1, None, before, after, own_cpu_s=0.0)
    # Other tests may keep the machine busy meanwhile, which is noted too.
    told = [text for text in warnings_between(before, after, 0.0) if "wall clock" in text]
    (noted,) = run_notes([evidence], [around]) or [""]
    assert all(text in noted for text in told)
    return told, list(clocks(replace(HONEST, runs=[evidence])))


@pytest.mark.parametrize("step_ms", [80, -250, 3_600_000])
def test_a_wall_clock_that_is_set_during_a_phase(tmp_path, step_ms):
    before, after, phase = measured_while(tmp_path, "+0", f"{step_ms / 1e3:+}")
    (sentence,), (finding,) = said_of(before, after, phase)
    named_ms = int(sentence.removeprefix("The wall clock was stepped by ").split()[0])
    assert named_ms == pytest.approx(step_ms, abs=2)
    assert (finding.check, finding.where) == (Check.CLOCKS, "semantic, repeat 1, decode")
    wall_s, monotonic_s = (
        float(part.split(" s")[0])
        for part in finding.what.replace("long by the wall clock, ", "\n").split("\n")
    )
    assert (wall_s - monotonic_s) * 1e3 == pytest.approx(step_ms, abs=2)
    # The step's 0.3 s and a quiet margin behind it.
    assert 0.3 < monotonic_s < 2.0


@pytest.mark.parametrize("clock", ["+0", "+0 x1.0004"], ids=["as it is", "slewed by 400 ppm"])
def test_a_wall_clock_that_is_not_set_during_a_phase(tmp_path, clock):
    assert said_of(*measured_while(tmp_path, clock, clock)) == ([], [])


def test_a_wall_clock_that_runs_away_during_a_phase(tmp_path):
    # A tenth too fast: 30 ms in the step of 0.3 s.
    told, found = said_of(*measured_while(tmp_path, "+0 x1.1", "+0 x1.1"))
    assert len(told) == 1
    assert [(each.check, each.where) for each in found] == [
        (Check.CLOCKS, "semantic, repeat 1, decode")
    ]
